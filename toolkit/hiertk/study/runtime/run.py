"""The whole study of runtime: all cells one after the other, and what they found together."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hiertk.study.records import this_machine, today
from hiertk.study.runtime.cells import CellRunner
from hiertk.study.runtime.materials import Materials
from hiertk.study.runtime.records import RuntimeStudy, Settings
from hiertk.study.runtime.settings import RuntimeSettings, plan_cells

Tell = Callable[[str], None]


def run_study(settings: RuntimeSettings, folder: Path, *, command: str, tell: Tell) -> RuntimeStudy:
    """Run what is not finished in the folder yet, and return all findings.

    Raises ConfigError, ModelError for a separation point that is not there, and what a process
    reports.
    """
    settings.check()
    keys = plan_cells(settings)
    place = folder / _digest(settings)
    materials = Materials(settings, place)
    runner = CellRunner(settings, materials, place)
    tell(f"{len(keys)} cells, one after the other, in {place}")
    cells = []
    for number, key in enumerate(keys, start=1):
        cell = runner.run(key)
        cells.append(cell)
        tell(f"{number} of {len(keys)}: {key.name}, {cell.total_s:.0f} s over {cell.link}")
    return RuntimeStudy(
        settings=_as_written(settings, len(materials.classes)),
        command=command,
        date=today(),
        machine=this_machine(),
        cells=tuple(cells),
    )


def _digest(settings: RuntimeSettings) -> str:
    """Name the folder after everything that decides a cell's findings."""
    measured = ("measured",) if settings.levels else ()
    decisive = replace(settings, links=(), ways=(), cuts="", levels=())
    return sha256(repr((decisive, measured)).encode()).hexdigest()[:16]


def _as_written(settings: RuntimeSettings, classes: int) -> Settings:
    return Settings(
        data=settings.data,
        model=settings.model,
        input_size=settings.input_size,
        classes=classes,
        images=settings.images,
        test_images=settings.test_images,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rate=settings.rate,
        backend=settings.backend,
        precision=settings.precision,
        levels=settings.levels,
    )
