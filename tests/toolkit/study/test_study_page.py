"""The page and its pictures, written from results made by hand."""

from pathlib import Path

import pytest
from hiertk.study.drawing import check_page
from hiertk.study.new_classes.methods import JOINT, NAIVE, OURS, SLDA
from hiertk.study.new_classes.page import write_page
from hiertk.study.new_classes.records import (
    Cell,
    CellKey,
    ExitShares,
    Mark,
    Phase,
    Settings,
    Study,
)
from hiertk.study.new_classes.summary import cells_of, forgotten, known_with, verdicts
from hiertk.study.new_classes.table import print_study
from hiertk.study.records import this_machine
from hiertk_protocol.errors import ConfigError

CLASSES = ("shirt", "boot", "bag")


def phase(*shares: float, marks: tuple[Mark, ...] = ()) -> Phase:
    both = ExitShares(early=shares, final=shares)
    return Phase(classes=CLASSES[: len(shares)], shares=both, marks=marks)


def mark(examples: int, new: float) -> Mark:
    return Mark(
        examples=examples, seconds=0.5, early_new=new, early_old=0.8, final_new=new, final_old=0.8
    )


def cell(method: str, *phases: Phase, seed: int = 0) -> Cell:
    return Cell(
        key=CellKey(method=method, split=4, seed=seed, backend="torch"),
        base_classes=2,
        phases=phases,
        device_bytes=3_000_000,
        cloud_bytes=1_500_000,
        edge_steps=10,
        seconds=60.0,
    )


@pytest.fixture
def study() -> Study:
    base = phase(0.9, 0.8)
    known = (mark(5, 0.4), mark(20, 0.7), mark(100, 0.9))
    return Study(
        settings=Settings(
            data="fashion-mnist",
            model="resnet18",
            input_size=32,
            bits=4,
            base_classes=2,
            base_images=1000,
            new_images=500,
            memory_bytes=4 << 20,
            test_images=3000,
            cloud_learning_rate=1e-3,
        ),
        command="hiertk study new-classes",
        date="2026-01-01",
        machine=this_machine(),
        cells=(
            cell(OURS.name, base, phase(0.9, 0.76, 0.9, marks=known)),
            cell(JOINT.name, phase(0.9, 0.8, 0.92)),
            cell(NAIVE.name, base, phase(0.0, 0.0, 1.0)),
            cell(SLDA, base, phase(0.8, 0.7, 0.9)),
        ),
    )


def test_a_class_is_known_from_the_first_mark_that_stays_above_half() -> None:
    assert known_with([mark(5, 0.6), mark(20, 0.4), mark(50, 0.7), mark(100, 0.8)]) == mark(50, 0.7)
    assert known_with([mark(5, 0.6), mark(100, 0.5)]) is None


def test_what_is_lost_is_of_the_base_alone(study: Study) -> None:
    (ours,) = cells_of(study, OURS.name, 4)
    assert forgotten(ours, "early") == pytest.approx(0.02)


def test_verdicts_say_what_was_found(study: Study) -> None:
    found = {one.what: one for one in verdicts(study, 4)}
    assert found["final exit below joint training"].found == "2.0 points"
    assert found["final exit below joint training"].is_met
    assert found["forgetting of the early exit"].found == "2.0 points"
    assert found["early exit above streaming LDA"].is_met
    known = found["new classes that the early exit knows with up to 50 examples"]
    assert known.found == "1 of 1"


def test_a_number_that_is_not_reached_is_called_missed(study: Study) -> None:
    cells = tuple(
        cell(OURS.name, phase(0.9, 0.9), phase(0.5, 0.5, 0.5)) if one.key.method == "ours" else one
        for one in study.cells
    )
    worse = study.model_copy(update={"cells": cells})
    assert not any(one.is_met for one in verdicts(worse, 4))


def test_the_page_shows_figures_and_pictures(study: Study, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "new-classes.md"
    (tmp_path / "docs" / "results").mkdir(parents=True)
    write_page(page, tmp_path / "docs" / "results" / "new-classes.json", study)
    text = page.read_text()
    assert "| HierTK | 85.3 | 83.0 | 90.0 | 2.0 |" in text
    assert "1 of 1: 20 examples, 0.5 s" in text
    assert "(results/new-classes.json)" in text
    for picture in ("phases", "examples"):
        assert f"(results/new-classes-{picture}.png)" in text
        drawn = page.parent / "results" / f"new-classes-{picture}.png"
        assert drawn.read_bytes().startswith(b"\x89PNG")


def test_a_part_switched_off_stands_beside_the_same_seed_of_ours(
    study: Study, tmp_path: Path
) -> None:
    base = phase(0.9, 0.8)
    more = (
        cell(OURS.name, base, phase(0.5, 0.5, 0.5), seed=1),
        cell("unadjusted", base, phase(0.6, 0.8, 0.7)),
    )
    both = study.model_copy(update={"cells": (*study.cells, *more)})
    write_page(tmp_path / "page.md", tmp_path / "page.json", both)
    text = (tmp_path / "page.md").read_text()
    whole, parts = text.split("## Each part switched off alone")
    assert "| HierTK | 67.7 (50.0 to 85.3)" in whole
    assert "without logit adjustment" not in whole.split("## What is kept")[0]
    assert "seed 0: at the end" in parts
    assert "| HierTK | 85.3 | 83.0 | 90.0 | 2.0 |" in parts
    assert "| without logit adjustment | 70.0 | 70.0 | 70.0 | 15.0 |" in parts


def test_the_terminal_shows_every_method(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    print_study(study)
    printed = capsys.readouterr().out
    assert all(f"{name}:" in printed for name in ("ours", "joint", "naive", "slda"))
    assert "final exit below joint training: 2.0 points, wanted at most 3 points: met" in printed


def test_a_page_that_is_no_markdown_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"name it \.md"):
        check_page(Path("page.html"))
