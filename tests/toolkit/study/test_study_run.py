"""A tiny study end to end: real exports, learner, codec, log and trainer; and going on with it."""

import os
from pathlib import Path

import pytest
from hiertk.study.new_classes.methods import SWITCHED_OFF, TITLES
from hiertk.study.new_classes.records import Study
from hiertk.study.new_classes.run import plan_cells, run_study
from hiertk.study.new_classes.settings import FULL, StudySettings, StudySize

TINY = StudySettings(
    size=StudySize(
        base_classes=8,
        base_images=8,
        new_images=8,
        test_images=2,
        seeds=(0,),
        splits=(6,),
        spot_checks=(),
    ),
    data="fashion-mnist-mini",
)


def test_the_full_study_has_whole_methods_with_every_seed_and_parts_with_one() -> None:
    cells = plan_cells(StudySettings(size=FULL))
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    torch = [cell for cell in cells if cell.backend == "torch"]
    parts = {one.name for one in SWITCHED_OFF}
    for name in TITLES:
        is_part = name in parts
        points = FULL.splits[-1:] if is_part else FULL.splits
        seeds = FULL.seeds[:1] if is_part else FULL.seeds
        found = {(cell.split, cell.seed) for cell in torch if cell.method == name}
        assert found == {(point, seed) for point in points for seed in seeds}
    assert {cell.backend for cell in cells} == {"torch", "onnxruntime", "executorch"}


@pytest.mark.slow
def test_a_tiny_study_end_to_end(tmp_path: Path) -> None:
    told: list[str] = []
    done = _run(tmp_path, told)
    assert {cell.key.method for cell in done.cells} == set(TITLES)
    for cell in done.cells:
        assert len(cell.last.classes) == 10
        joint = cell.key.method == "joint"
        assert [len(phase.classes) for phase in cell.phases] == ([10] if joint else [8, 9, 10])
        shares = [*cell.last.shares.early, *cell.last.shares.final]
        assert all(0 <= share <= 1 for share in shares)
    assert Study.model_validate_json(done.model_dump_json()) == done
    assert _run(tmp_path, told).cells == done.cells  # read back, not run again
    assert not [path for path in tmp_path.rglob("cell-*") if path.is_dir()]


def _run(folder: Path, told: list[str]) -> Study:
    jobs = min(2, len(os.sched_getaffinity(0)))
    return run_study(TINY, folder, jobs=jobs, command="a test", tell=told.append)
