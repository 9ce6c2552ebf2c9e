"""A tiny study of accuracy end to end: real training, real images, its page, going on with it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hiertk.models import NetworkSpec, open_network
from hiertk.study.accuracy.page import write_page
from hiertk.study.accuracy.records import (
    AccuracyResults,
    AccuracyStudy,
    Cell,
)
from hiertk.study.accuracy.run import run_study
from hiertk.study.accuracy.settings import (
    BITS,
    FASTER,
    LARGER,
    REPLAY,
    SENT,
    SGD,
    SLOWER,
    AccuracySettings,
    plan_cells,
)
from hiertk.study.accuracy.summary import early, final, full, gain, sent, verdicts, ways
from hiertk.study.accuracy.table import print_study
from hiertk.study.accuracy.variants import find_variant, possible_variants
from hiertk.study.results import add_study, read_results
from hiertk_protocol.errors import ConfigError, ModelError

TINY = AccuracySettings(
    data="fashion-mnist-mini",
    splits=(6,),
    variants=("plain", "bottleneck:8"),
    seeds=(0, 1),
    images=80,
    test_images=40,
    passes=1,
    tune_seeds=1,
)


def test_every_point_variant_and_seed_has_a_cell_and_a_bottleneck_no_full_training() -> None:
    names = [key.name for key in plan_cells(AccuracySettings(), (1, 2))]
    assert len(set(names)) == len(names) == 3 * 2 + 3 * 2 * 3
    assert "full-group-seed2" in names
    assert "full-bottleneck-seed0" not in names
    assert "split2-bottleneck-seed1" in names


def test_fewer_ways_leave_the_bits_that_are_deployed() -> None:
    settings = replace(TINY, ways=("4", "replay"))
    assert settings.clouds("plain", 6) == (SENT, REPLAY)
    assert settings.clouds("bottleneck:8", 6) == (SENT,)
    some = replace(settings, splits=(4, 6), raise_splits=(4,))
    assert some.clouds("plain", 4) == (SENT, REPLAY)
    assert some.clouds("plain", 6) == (SENT,)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> AccuracyStudy:
    folder = tmp_path_factory.mktemp("study")
    told: list[str] = []
    study = run_study(TINY, folder, jobs=2, command="a test", tell=told.append)
    assert run_study(TINY, folder, jobs=1, command="a test", tell=told.append).cells == study.cells
    assert {path.stem for path in folder.rglob("rate-*")} == {
        "rate-full",
        "rate-edge-split6",
        "rate-cloud-split6",
        "rate-cloud-split6-bottleneck8",
    }
    check_that_fewer_ways_are_taken_from_the_files(study, folder)
    check_that_more_ways_are_added_to_the_files(study, folder)
    next(folder.rglob("split6-plain-seed0.json")).write_text("{}")
    with pytest.raises(ConfigError, match="nothing of this version"):
        run_study(TINY, folder, jobs=1, command="a test", tell=told.append)
    return study


def check_that_fewer_ways_are_taken_from_the_files(study: AccuracyStudy, folder: Path) -> None:
    fewer = replace(TINY, ways=("4",))
    found = run_study(fewer, folder, jobs=1, command="a test", tell=print)
    for cell, whole in zip(found.cells, study.cells, strict=True):
        assert (cell.key, cell.early, cell.seconds) == (whole.key, whole.early, whole.seconds)
    assert ways(found) == [SENT.name]


def check_that_more_ways_are_added_to_the_files(study: AccuracyStudy, folder: Path) -> None:
    more = replace(TINY, ways=("4", "slower", "faster", "sgd"))
    found = run_study(more, folder, jobs=1, command="a test", tell=print)
    sgd = found.rates.at("plain", 6).sgd
    assert sgd is not None
    assert set(sgd.tried) >= {"0.01", "0.03", "0.1"}
    names = [SENT.name, SLOWER.name, FASTER.name, f"{SGD.name} at {sgd.rate:g}"]
    for cell, before in zip(found.cells, study.cells, strict=True):
        assert (cell.key, cell.early) == (before.key, before.early)
        if (cell.key.split, cell.key.variant) == (6, "plain"):
            assert list(cell.final) == names
            assert cell.final[SENT.name] == before.final[SENT.name]
            assert cell.seconds > before.seconds
        else:
            assert cell == before
    assert run_study(TINY, folder, jobs=1, command="", tell=print).rates == study.rates
    file = folder / "more.json"
    write_page(folder / "more.md", file, add_study(file, AccuracyResults, found))
    assert f"| split | {' | '.join(names)} |" in (folder / "more.md").read_text()


def test_a_tiny_study_end_to_end(
    done: AccuracyStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(done.cells) == 2 + 4
    assert ways(done) == [*(way.name for way in BITS), REPLAY.name, LARGER.name]
    for spread in (full(done), early(done, 6), final(done, 6), gain(done, 6, REPLAY.name)):
        assert spread is not None
        assert len(spread.values) == 2
    assert final(done, 6, "bottleneck:8", REPLAY.name) is None
    assert early(done, 6, "bottleneck:8") == early(done, 6)  # the device trains the same
    narrowed = sent(done, 6, "bottleneck:8")  # of 256 channels; its header stays
    assert narrowed < sent(done, 6) / 4
    cloud = done.rates.at("plain", 6).cloud
    assert set(cloud.tried) >= {"0.0003", "0.001", "0.003"}
    assert cloud.tried[f"{cloud.rate:g}"] == max(cloud.tried.values())

    file = tmp_path / "results" / "accuracy.json"
    results = add_study(file, AccuracyResults, done)
    assert read_results(file, AccuracyResults) == results
    write_page(tmp_path / "accuracy.md", file, results)
    page = (tmp_path / "accuracy.md").read_text()
    assert "## resnet18, fashion-mnist-mini, 32x32" in page
    below = verdicts(done)[0]
    assert f"| 6 | {below.found}, {below.mark} |" in page
    for variant in ("plain", "bottleneck:8"):
        cut = done.rates.at(variant, 6)
        tuned_on = f"{variant} at 6 | {cut.edge.rate:g} | {cut.cloud.rate:g}"
        assert f"| {variant} | 6 | {tuned_on} |" in page
    assert "](results/" not in page.replace("](results/accuracy.json)", "")
    assert [path.name for path in file.parent.iterdir()] == ["accuracy.json"]
    print_study(done)
    printed = " ".join(capsys.readouterr().out.split())  # titles are wrapped to their table's width
    assert "32x32, bottleneck:8:" in printed
    for text in (page, printed):
        assert f" {narrowed:.0f} " in text


def test_a_study_of_several_points_has_a_picture(done: AccuracyStudy, tmp_path: Path) -> None:
    file = tmp_path / "accuracy.json"
    twice = done.rates.full.model_copy(update={"seeds": 2})
    study = done.model_copy(update={"rates": done.rates.model_copy(update={"full": twice})})
    two = add_study(file, AccuracyResults, with_a_point_more(study, 7))
    write_page(tmp_path / "accuracy.md", file, two)
    page = (tmp_path / "accuracy.md").read_text()
    assert "](accuracy-1.png)" in page
    assert "| plain | 6, 7 | plain at 6 | " in page
    assert f"(full cloud {twice.rate:g}, by 2 seeds)" in page
    assert (tmp_path / "accuracy-1.png").stat().st_size > 10_000


def test_a_study_goes_on_from_its_results_where_its_folder_is_lost(
    done: AccuracyStudy, tmp_path: Path
) -> None:
    read = AccuracyResults.model_validate_json(AccuracyResults(studies=(done,)).model_dump_json())
    more = replace(TINY, seeds=(0, 1, 2), variants=("plain",))
    run = partial(run_study, jobs=2, command="a test", tell=print, earlier=read.studies)
    found = run(more, tmp_path / "more")
    plain = (done.rates.at("plain", 6),)
    assert found.rates == done.rates.model_copy(update={"cuts": plain})
    cells = {cell.key: cell for cell in found.cells}
    assert len(cells) == 2 * 3
    assert [cell for key, cell in cells.items() if key.seed < 2] == [
        cell for cell in done.cells if cell.key.variant == "plain"
    ]  # their seconds, too


def test_a_study_takes_nothing_from_results_of_other_images_or_another_machine(
    done: AccuracyStudy, tmp_path: Path
) -> None:
    machine = done.machine
    versions = {**machine.versions, "torch": "1.0"}
    others = (
        done.model_copy(update={"machine": machine.model_copy(update={"versions": versions})}),
        done.model_copy(update={"settings": done.settings.model_copy(update={"digest": "0" * 64})}),
    )
    little = replace(TINY, variants=("plain",), seeds=(0,), ways=("4",))
    found = run_study(little, tmp_path, jobs=2, command="", tell=print, earlier=others)
    for cell in found.cells:
        before = next(one for one in done.cells if one.key == cell.key)
        assert cell.seconds != before.seconds
        assert cell.early == before.early


def with_a_point_more(study: AccuracyStudy, split: int) -> AccuracyStudy:
    """Return a study that found the same at another separation point."""
    cut = [cell for cell in study.cells if cell.key.split is not None]
    keys = [cell.key.model_copy(update={"split": split}) for cell in cut]
    cells = [cell.model_copy(update={"key": key}) for cell, key in zip(cut, keys, strict=True)]
    point = study.points[0].model_copy(update={"split": split})
    return study.model_copy(
        update={"points": (*study.points, point), "cells": (*study.cells, *cells)}
    )


def test_the_verdicts_are_of_means_over_the_seeds(done: AccuracyStudy) -> None:
    def with_shares(cell: Cell) -> Cell:
        whole, early_exit, own = (0.90, 0.80), 0.86, (0.892, 0.802)
        if cell.key.split is None:
            return cell.model_copy(update={"final": {"whole": whole[cell.key.seed]}})
        shares = {**cell.final, SENT.name: own[cell.key.seed]}
        return cell.model_copy(update={"early": early_exit, "final": shares})

    study = done.model_copy(update={"cells": tuple(map(with_shares, done.cells))})
    found = {one.what: one for one in verdicts(study)}
    below = found["final exit below full cloud, separation point 6"]
    assert (below.wanted, below.found, below.is_met) == ("at most 0.5 points", "0.30 points", True)
    above = found["final exit above early exit, separation point 6, bottleneck:8"]
    assert (above.found, above.is_met) == ("-1.30 points", False)
    assert len(found) == 4


def test_a_study_takes_the_place_of_the_one_before_it_and_others_stay(
    done: AccuracyStudy, tmp_path: Path
) -> None:
    settings = done.settings.model_copy(update={"model": "vgg16"})
    other = done.model_copy(update={"settings": settings})
    newer = done.model_copy(update={"date": "2030-01-01"})
    file = tmp_path / "accuracy.json"
    for study in (other, done, newer):
        add_study(file, AccuracyResults, study)
    found = read_results(file, AccuracyResults)
    assert [(one.settings.model, one.date) for one in found.studies] == [
        ("resnet18", "2030-01-01"),
        ("vgg16", done.date),
    ]


def test_a_network_without_batch_normalization_has_no_variant_with_another() -> None:
    names = ("plain", "bottleneck:8", "group")
    plain, other = (open_network(NetworkSpec(name, 10, 32)) for name in ("vgg11", "vgg11_bn"))
    assert possible_variants(names, plain, (1, 2)) == ("plain", "bottleneck:8")
    assert possible_variants(names, other, (1, 2)) == names


def test_a_bottleneck_keeps_a_quarter_of_the_channels_or_as_many_as_it_says() -> None:
    assert find_variant("plain").bottleneck(64) is None
    assert find_variant("bottleneck").bottleneck(64) == 16
    assert find_variant("bottleneck:8").bottleneck(64) == 8


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (replace(TINY, variants=("plain", "wide")), "unknown variant 'wide'"),
        (replace(TINY, variants=("plain", "bottleneck:0")), "unknown variant 'bottleneck:0'"),
        (replace(TINY, variants=("plain", "bottleneck:8 ")), "unknown variant 'bottleneck:8 '"),
        (replace(TINY, variants=("plain", "group:8")), "unknown variant 'group:8'"),
        (replace(TINY, variants=("plain", "bottleneck:256")), "256 channels there, take fewer"),
        (replace(TINY, variants=("group",)), "need plain"),
        (replace(TINY, ways=("4", "2")), "unknown way '2'"),
        (replace(TINY, ways=("float",)), "the ways need 4"),
        (replace(TINY, raise_splits=(4, 6)), "--raise-splits has 4, --splits has not"),
        (replace(TINY, splits=None, raise_splits=(9,)), "points 1 to 8, not 9"),
        (replace(TINY, tune_splits=(2,)), "--tune-splits has 2, --splits has not"),
        (replace(TINY, splits=None, tune_splits=(9,)), "points 1 to 8, not 9"),
        (replace(TINY, tune_variants=("bottleneck:8",)), "--tune-variants needs plain"),
        (replace(TINY, tune_variants=("plain", "group")), "has group, --variants has not"),
        (replace(TINY, images=10**6), "wants 1000000 images, the data set has 6000"),
        (replace(TINY, data="nothing"), "unknown data set"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_trained(
    settings: AccuracySettings, words: str, tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, ModelError), match=words):
        run_study(settings, tmp_path, jobs=1, command="", tell=print)
    assert not list(tmp_path.iterdir())
