"""The whole study: all cells, one process on each core, and what they found together."""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hiertk_protocol.manifest import Backend

from hiertk.study.new_classes.cells import UNFINISHED, CellRunner, read_data
from hiertk.study.new_classes.methods import JOINT, NAIVE, OURS, SWITCHED_OFF, WHOLE
from hiertk.study.new_classes.records import Cell, CellKey, Settings, Study
from hiertk.study.new_classes.settings import StudySettings
from hiertk.study.pool import cell_pool
from hiertk.study.records import this_machine, today

BACKEND: Backend = "torch"

Tell = Callable[[str], None]


def plan_cells(settings: StudySettings) -> list[CellKey]:
    """Return all cells, those that take longest first: a process should not be left alone."""
    size = settings.size
    whole = sorted(WHOLE, key=lambda name: name != JOINT.name)
    parts = [one.name for one in SWITCHED_OFF]
    cells = [
        CellKey(method=method, split=split, seed=seed, backend=BACKEND)
        for methods, splits, seeds in (
            (whole, size.splits, size.seeds),
            (parts, size.splits[-1:], size.seeds[:1]),
        )
        for method in methods
        for split in splits
        for seed in seeds
    ]
    spots = [
        CellKey(method=method.name, split=size.splits[-1], seed=size.seeds[0], backend=backend)
        for backend in size.spot_checks
        for method in (OURS, NAIVE)
        if backend != "executorch" or method.rehearses  # its program takes full batches only
    ]
    return spots + cells


def run_study(
    settings: StudySettings, folder: Path, *, jobs: int | None, command: str, tell: Tell
) -> Study:
    """Run what is not finished in the folder yet, and return all findings.

    jobs: processes, None for one on each core. Raises ConfigError, and what export and training
    raise.
    """
    settings.check()
    data = read_data(settings)  # before any process starts: it may be missing
    keys = plan_cells(settings)
    place = folder / _digest(settings)
    tell(f"{len(keys)} cells, in {place}")
    for left in place.glob(f"{UNFINISHED}*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with cell_pool(jobs, _prepare_process, settings, place) as pool:
        cells = _run_all(pool, keys, tell)
    return Study(
        settings=_as_written(settings, len(data.test)),
        command=command,
        date=today(),
        machine=this_machine(),
        cells=tuple(cells[key] for key in keys),
    )


def _run_all(pool: ProcessPoolExecutor, keys: Sequence[CellKey], tell: Tell) -> dict[CellKey, Cell]:
    """Run the bases first, on which most cells wait; joint training needs none."""
    free = [key for key in keys if key.method == JOINT.name]
    waiting = [key for key in keys if key.method != JOINT.name]
    needed = dict.fromkeys((key.split, key.seed, key.backend) for key in waiting)
    bases = [pool.submit(_base, *base) for base in needed]
    running = [pool.submit(_cell, key) for key in free]
    for base in as_completed(bases):
        tell(f"there: {base.result()}")
    running += [pool.submit(_cell, key) for key in waiting]
    cells: dict[CellKey, Cell] = {}
    for one in as_completed(running):
        cell = one.result()
        cells[cell.key] = cell
        tell(f"{len(cells)} of {len(keys)}: {cell.key.name}, {cell.seconds:.0f} s")
    return cells


def _digest(settings: StudySettings) -> str:
    """Name the folder after everything that decides a cell's findings."""
    size = replace(settings.size, seeds=(), splits=(), spot_checks=())
    return sha256(repr(replace(settings, size=size)).encode()).hexdigest()[:16]


def _as_written(settings: StudySettings, test_images: int) -> Settings:
    size = settings.size
    return Settings(
        data=settings.data,
        model=settings.model,
        input_size=settings.input_size,
        bits=settings.bits,
        base_classes=size.base_classes,
        base_images=size.base_images,
        new_images=size.new_images,
        memory_bytes=size.memory_bytes,
        test_images=test_images,
        cloud_learning_rate=settings.learning_rate,
    )


class _Process:
    """What a process of the pool keeps from cell to cell."""

    runner: CellRunner


def _prepare_process(settings: StudySettings, folder: Path) -> None:
    _Process.runner = CellRunner(settings, read_data(settings), folder)


def _base(split: int, seed: int, backend: Backend) -> str:
    return _Process.runner.prepare_base(split, seed, backend).name


def _cell(key: CellKey) -> Cell:
    return _Process.runner.run(key)
