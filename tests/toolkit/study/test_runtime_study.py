"""The study of runtime: its cells, its figures, and a tiny one end to end."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import run_here
from hiertk.cli import main
from hiertk.slow_link import Carried, SlowLink
from hiertk.study.records import this_machine
from hiertk.study.results import add_study
from hiertk.study.runtime.marks import Moment, Pair, pairs_of
from hiertk.study.runtime.meter import LinkMeter
from hiertk.study.runtime.page import write_page
from hiertk.study.runtime.records import (
    Cell,
    CellKey,
    Cut,
    Mark,
    RuntimeResults,
    RuntimeStudy,
    Settings,
)
from hiertk.study.runtime.run import run_study
from hiertk.study.runtime.settings import (
    EDGE_FIRST,
    JPEG,
    OURS,
    RAW,
    SPLIT_FP32,
    RuntimeSettings,
    parse_sizes,
    plan_cells,
)
from hiertk.study.runtime.summary import best, bytes_to, epoch_s, reached, reduction
from hiertk.study.runtime.table import print_study
from hiertk.study.runtime.targets import verdicts
from hiertk.study.runtime.timeline import epoch_ends, steady_epoch_s
from hiertk_protocol.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

TINY = RuntimeSettings(
    data="fashion-mnist-mini",
    links=(5.85e6,),
    ways=(SPLIT_FP32, EDGE_FIRST),
    cuts="6:4",
    images=128,
    test_images=50,
    epochs=2,
    levels=(0.02, 0.99),
    precision="bfloat16",
)

WHOSE = ("process", "own")


def test_each_way_has_a_cell_at_each_of_its_cuts_and_links() -> None:
    settings = RuntimeSettings(cuts="4:4,4:8,6:4:64", links=(1.1e6, 5.85e6))
    names = [key.name for key in plan_cells(settings)]
    # Uploads have no cut; split learning has one cell for each separation point.
    assert len(set(names)) == len(names) == 2 * (3 + 2 * 2 + 3 * 3)
    assert {"1.1mbit-raw", "5.85mbit-split-fp16-6-16", "1.1mbit-replay-6-4-64"} <= set(names)


def test_the_planners_cut_depends_on_the_link() -> None:
    slow, fast = (RuntimeSettings(cuts="plan").cuts_at(rate) for rate in (2e5, 1e9))
    assert len(slow) == len(fast) == 1
    assert slow != fast


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ways": ("nothing",)}, "unknown way 'nothing'"),
        ({"images": 1000}, "whole batches of 32"),
        ({"epochs": 1}, "take two at least"),
        ({"levels": (80.0,)}, "between 0 and 1"),
        ({"links": ()}, "a link and a way"),
    ],
)
def test_what_cannot_be_run_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(RuntimeSettings(), **change).check()


@given(st.text(max_size=20))
def test_cuts_are_read_or_refused(text: str) -> None:
    settings = RuntimeSettings(model="resnet18", cuts=f"4:4,{text}")
    try:
        first, *others = settings.cuts_at(1.1e6)
    except ConfigError:
        return
    assert first == Cut(split=4, bits=4)
    assert all(cut.bits in {4, 8} for cut in others)


def test_sizes_are_numbers() -> None:
    assert parse_sizes("32,64") == (32, 64)
    with pytest.raises(ConfigError, match="--sizes"):
        parse_sizes("32x32")


def test_an_epoch_is_that_of_the_steady_state_whatever_the_bursts() -> None:
    slow_start = [float(number) for number in range(1, 11)]
    regular = [10 + 0.1 * number for number in range(1, 91)]
    assert steady_epoch_s(slow_start + regular, 2) == pytest.approx(50 * 0.1)
    bursts = [1.0 * (number // 2) for number in range(200)]
    assert steady_epoch_s(bursts, 4) == pytest.approx(25, rel=0.1)
    assert steady_epoch_s([1.0, 2.0, 3.0, 4.0], 2) == pytest.approx(2.0)


def test_epochs_end_with_their_last_step() -> None:
    assert epoch_ends([1.0, 2.0, 5.0, 7.0], 2) == (2.0, 7.0)


def test_the_meter_reads_between_its_samples() -> None:
    began = time.monotonic()

    def carried() -> Carried:
        return Carried(up=round(1e6 * (time.monotonic() - began)), down=7)

    with LinkMeter(SlowLink("", [], [], "", "", 1.0, carried)) as meter:
        time.sleep(0.5)
    up, down = meter.between(began + 0.1, began + 0.4)
    assert up == pytest.approx(0.3e6, rel=0.02)
    assert down == 0


def test_sides_answer_with_their_newest_weights_or_with_those_of_one_step() -> None:
    moments = [
        Moment("cloud", 4, 1.0, "c4"),
        Moment("edge", 4, 1.1, "e4"),
        Moment("edge", 8, 1.5, "e8"),
    ]
    assert pairs_of(moments, in_step=True) == [Pair(1.1, "e4", "c4")]
    assert pairs_of(moments, in_step=False) == [
        Pair(1.0, None, "c4"),
        Pair(1.1, "e4", "c4"),
        Pair(1.5, "e8", "c4"),
    ]


def cell(way: str, cut: Cut | None = None, **more: Any) -> Cell:
    values: dict[str, Any] = {
        "key": CellKey(bits_per_s=1.1e6, way=way, cut=cut),
        "total_s": 12.0,
        "steady_s": 5.0,
        "epoch_ends_s": (6.0, 12.0),
        "up_bytes": 2_000_000,
        "down_bytes": 20_000,
        "edge_busy_s": 1.0,
        "cloud_busy_s": 2.0,
        "edge_peak_bytes": 100_000_000,
        "edge_libraries_bytes": 60_000_000,
        "link": "namespaces",
    }
    return Cell.model_validate(values | more)


def mark(at_s: float, sent: float, early: float | None, final: float | None) -> Mark:
    return Mark(at_s=at_s, up_bytes=sent, down_bytes=sent / 10, early=early, final=final)


@pytest.fixture
def study() -> RuntimeStudy:
    settings = Settings(
        data="cifar10",
        model="resnet18",
        input_size=32,
        classes=10,
        images=320,
        test_images=200,
        epochs=2,
        batch_size=32,
        rate=1e-3,
        backend="onnxruntime",
        precision="float32",
        levels=(0.4, 0.6),
    )
    deep, shallow = Cut(split=6, bits=4), Cut(split=4, bits=8)
    cells = (
        cell(RAW),
        cell(JPEG, steady_s=None, marks=(mark(3, 200_000, None, 0.7),)),
        cell(
            SPLIT_FP32,
            Cut(split=6, bits=32),
            edge_peak_bytes=700_000_000,
            edge_libraries_bytes=620_000_000,
            marks=(mark(9, 5_000_000, None, 0.5),),
        ),
        cell(OURS, shallow, steady_s=1.0),
        cell(OURS, deep, steady_s=0.5, marks=(mark(1, 0, 0.5, None), mark(2, 100_000, 0.6, 0.65))),
    )
    return RuntimeStudy(
        settings=settings,
        command="hiertk study runtime",
        date="2026-01-01",
        machine=this_machine(),
        cells=cells,
    )


def test_figures_of_a_study(study: RuntimeStudy) -> None:
    ours = best(study, 1.1e6, OURS)
    assert ours is study.cells[-1]
    assert reduction(study, ours) == pytest.approx(0.9)
    assert epoch_s(study, study.cells[1]) == 6.0
    assert reached(ours, 0.5) == ours.marks[1]
    assert reached(ours, 0.5, "early") == ours.marks[0]
    assert bytes_to(study.cells, 0.6) == pytest.approx(110_000)
    assert bytes_to(study.cells, 0.8) is None


def test_targets_are_judged_by_what_was_found(study: RuntimeStudy) -> None:
    found = {one.what.split(",")[0]: one for one in verdicts(study)}
    time_ = found["time per epoch below raw each epoch"]
    assert (time_.found, time_.is_met) == ("90.0 %", True)
    jpeg = found["bytes to 60 % against JPEG q90 once"]
    assert (jpeg.found, jpeg.is_met) == ("0.500", True)
    split = found["bytes to 40 % against split learning"]
    assert (split.found, split.is_met) == ("0.020", True)
    whole, own = (found[f"device's peak memory ({of}) below split learning's"] for of in WHOSE)
    assert (whole.found, whole.is_met) == ("86 %", True)
    assert (own.found, own.is_met) == ("50 %", False)
    alone = study.model_copy(update={"cells": study.cells[3:]})
    assert verdicts(alone) == []


def test_page_and_table_tell_all_ways(
    study: RuntimeStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results" / "runtime.json"
    results = add_study(file, RuntimeResults, study)
    assert add_study(file, RuntimeResults, study) == results
    write_page(tmp_path / "runtime.md", file, results)
    page = (tmp_path / "runtime.md").read_text()
    for text in ("## resnet18, cifar10, 32x32", "### 1.1 Mbit/s", "| hierarchical | 6:4 | 0.50 |"):
        assert text in page
    assert "](results/runtime-1.png)" in page
    assert (tmp_path / "results" / "runtime-1.png").stat().st_size > 10_000
    print_study(study)
    printed = capsys.readouterr().out
    assert all(f" {one.key.way} " in printed for one in study.cells)
    assert "time per epoch below raw" in printed


def test_each_backend_has_a_place_of_its_own_in_the_results(
    study: RuntimeStudy, tmp_path: Path
) -> None:
    file = tmp_path / "runtime.json"
    settings = study.settings.model_copy(update={"backend": "executorch"})
    other = study.model_copy(update={"settings": settings})
    assert other.name == f"{study.name}, executorch on the device"
    add_study(file, RuntimeResults, study)
    assert add_study(file, RuntimeResults, other).studies == (study, other)


def test_the_options_of_a_study_give_the_same_study(tmp_path: Path) -> None:
    options = TINY.as_options()
    assert options[options.index("--levels") + 1] == "2%,99%"
    assert options[options.index("--links") + 1] == "5.85mbit"
    wrong = run_here(main, "study", "runtime", *options, "--ways", "none", folder=tmp_path)
    assert wrong.returncode == 3
    assert wrong.stderr.startswith("ConfigError: unknown way 'none': choose from raw, ")


@pytest.mark.slow
def test_a_tiny_study_end_to_end(tmp_path: Path) -> None:
    told: list[str] = []
    done = run_study(TINY, tmp_path, command="a test", tell=told.append)
    split, edge_first = done.cells
    assert (split.key.way, edge_first.key.way) == (SPLIT_FP32, EDGE_FIRST)
    features = 256 * 2 * 2 * 4 * TINY.images * TINY.epochs
    assert features < split.up_bytes < 1.5 * features
    assert features < split.down_bytes < 1.5 * features
    assert edge_first.up_bytes < split.up_bytes / 8
    for one in done.cells:
        assert one.total_s >= one.epoch_ends_s[-1] > one.epoch_ends_s[0] > 0
        assert one.edge_busy_s > 0.05
        assert one.edge_peak_bytes > one.edge_libraries_bytes > 10_000_000
        assert reached(one, 0.02) is not None
        assert reached(one, 0.99) is None
    assert not any(mark.early for mark in split.marks)
    assert all(mark.early is not None for mark in edge_first.marks)
    again = run_study(TINY, tmp_path, command="a test", tell=told.append)
    assert again.cells == done.cells
