"""The whole study of accuracy: rates first, then all cells, and what they found together."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hiertk.export.cuts import choose_points
from hiertk.models import open_network
from hiertk.models.costs import network_costs
from hiertk.study.accuracy.cells import CellRunner, put_back_cells
from hiertk.study.accuracy.data import Data, read_data
from hiertk.study.accuracy.rates import Tuner, put_back_rates
from hiertk.study.accuracy.records import (
    AccuracyStudy,
    Cell,
    CellKey,
    CutRates,
    Point,
    Rates,
    Settings,
    Tuned,
    nearest,
)
from hiertk.study.accuracy.settings import AccuracySettings, plan_cells
from hiertk.study.accuracy.trainer import device_for_training
from hiertk.study.accuracy.variants import PLAIN, find_variant, possible_variants
from hiertk.study.pool import cell_pool
from hiertk.study.records import this_machine, today

Tell = Callable[[str], None]


def run_study(
    settings: AccuracySettings,
    folder: Path,
    *,
    jobs: int | None,
    command: str,
    tell: Tell,
    earlier: Sequence[AccuracyStudy] = (),
) -> AccuracyStudy:
    """Run what is not finished yet, in the folder or earlier, and return all findings.

    jobs: processes, None for one on each core, or a single one for a GPU. earlier: taken from them
    is what the same study found on a machine like this. Raises ConfigError, and ModelError for a
    separation point that is not there.
    """
    settings.check()
    data = read_data(settings)  # before any process starts: it may be missing
    settings, splits = _possible(settings, data.classes, tell)
    keys = plan_cells(settings, splits)
    written, machine = _as_written(settings, data), this_machine()
    place = folder / sha256(written.model_dump_json().encode()).hexdigest()[:16]
    device = device_for_training()
    tell(f"{len(keys)} cells on {device}, in {place}")
    if device.type == "cuda":
        jobs = 1
    for one in earlier:
        if (one.settings, one.device) == (written, str(device)) and one.machine.is_like(machine):
            _put_back(one, keys, place)
    with cell_pool(jobs, _prepare_process, settings, place) as pool:
        rates = _tune(pool, settings, splits, tell)
        cells = _run_all(pool, keys, rates, tell)
    return AccuracyStudy(
        settings=written,
        command=command,
        date=today(),
        machine=machine,
        device=str(device),
        rates=rates,
        points=_points(settings, data.classes, splits),
        cells=tuple(cells[key] for key in keys),
    )


def _possible(
    settings: AccuracySettings, classes: int, tell: Tell
) -> tuple[AccuracySettings, tuple[int, ...]]:
    """Return the settings without what the network cannot have, and its separation points."""
    network = open_network(settings.network(classes))
    splits = choose_points(network, settings.splits, None)
    for some in settings.some_splits.values():
        choose_points(network, some, None)  # one of them may not be there
    variants = possible_variants(settings.variants, network, splits)
    for one in set(settings.variants) - set(variants):
        tell(f"{settings.model} has no batch normalization: without {one}, the same as plain")
    tuned = settings.tune_variants and tuple(
        one for one in settings.tune_variants if one in variants
    )
    return replace(settings, variants=variants, tune_variants=tuned), splits


def _put_back(earlier: AccuracyStudy, keys: Collection[CellKey], folder: Path) -> None:
    """Put what was found before where a run looks for it."""
    put_back_rates(earlier.rates, folder)
    known = (cell for cell in earlier.cells if cell.key in keys)
    put_back_cells(known, earlier.rates, folder)


def _tune(
    pool: ProcessPoolExecutor, settings: AccuracySettings, splits: Sequence[int], tell: Tell
) -> Rates:
    """Tune full-cloud training, and both partitions at each separation point that is to be."""
    tell("learning rates first")
    tuned, for_sgd = settings.tune_variants or settings.variants, _for_sgd(settings, splits)
    full = {name: pool.submit(_tune_full, name) for name in tuned if find_variant(name).has_whole}
    pending = [
        pool.submit(_tune_cut, name, split, name == PLAIN and split in for_sgd)
        for name in tuned
        for split in settings.tune_splits or splits
    ]
    for one in as_completed(pending):
        cut = one.result()
        rates = f"edge {cut.edge.rate:g}, cloud {cut.cloud.rate:g}"
        tell(f"split {cut.split}, {cut.variant}: {rates}")
    found = {name: one.result() for name, one in full.items()}
    for name, rate in found.items():
        tell(f"full cloud, {name}: {rate.rate:g}")
    return Rates(full=found.pop(PLAIN), full_of=found, cuts=tuple(one.result() for one in pending))


def _for_sgd(settings: AccuracySettings, splits: Sequence[int]) -> set[int]:
    """Return the separation points at which SGD needs a rate of its own."""
    if "sgd" not in settings.ways:
        return set()
    return {nearest(settings.tune_splits or splits, one) for one in settings.raise_splits or splits}


def _run_all(
    pool: ProcessPoolExecutor, keys: Sequence[CellKey], rates: Rates, tell: Tell
) -> dict[CellKey, Cell]:
    cells: dict[CellKey, Cell] = {}
    for one in as_completed([pool.submit(_cell, key, rates) for key in keys]):
        cell = one.result()
        cells[cell.key] = cell
        tell(f"{len(cells)} of {len(keys)}: {cell.key.name}, {cell.seconds:.0f} s")
    return cells


def _points(settings: AccuracySettings, classes: int, splits: Sequence[int]) -> tuple[Point, ...]:
    costs = network_costs(settings.network(classes), batch_size=settings.batch_size)
    return tuple(
        Point(
            split=one.point.number,
            after=one.point.name,
            shape=one.feature_shape,
            edge_parameters=one.edge_parameters,
            cloud_parameters=one.cloud_parameters,
            memory_bytes=one.activation_bytes,
        )
        for one in costs.points
        if one.point.number in splits
    )


def _as_written(settings: AccuracySettings, data: Data) -> Settings:
    return Settings(
        data=settings.data,
        model=settings.model,
        input_size=settings.input_size,
        classes=data.classes,
        images=len(data.train),
        test_images=len(data.test),
        passes=settings.passes,
        batch_size=settings.batch_size,
        precision=settings.precision,
        digest=data.digest(),
    )


class _Process:
    """What a process of the pool keeps from cell to cell."""

    tuner: Tuner
    runner: CellRunner


def _prepare_process(settings: AccuracySettings, folder: Path) -> None:
    data = read_data(settings)
    _Process.tuner = Tuner(settings, data, folder)
    _Process.runner = CellRunner(settings, data, folder)


def _tune_full(variant: str) -> Tuned:
    return _Process.tuner.full(variant)


def _tune_cut(variant: str, split: int, with_sgd: bool) -> CutRates:
    return _Process.tuner.cut(variant, split, with_sgd=with_sgd)


def _cell(key: CellKey, rates: Rates) -> Cell:
    return _Process.runner.run(key, rates)
