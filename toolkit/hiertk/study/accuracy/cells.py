"""One cell of the study of accuracy, from fresh weights to the test images."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hiertk_edge.images import normalize
from hiertk_protocol.manifest import InputInfo

from hiertk.data import load
from hiertk.export.settings import IMAGENET_MEAN, IMAGENET_STD
from hiertk.models import CutSpec, open_network
from hiertk.study.accuracy.rates import FIRST, FIRST_OF_SGD, Measure, tune
from hiertk.study.accuracy.records import WHOLE, Cell, CellKey, CutRates, Rates, Tuned
from hiertk.study.accuracy.runs import FullRun, HierarchicalRun, Labelled, Schedule
from hiertk.study.accuracy.settings import (
    NARROWED_TO,
    SENT,
    SGD,
    VARIANTS,
    AccuracySettings,
    CloudWay,
)
from hiertk.study.images import Images, read_images, some_of
from hiertk.study.records import read_record, write_record

_TEST_BATCH = 250
_HELD_OUT = 10  # one training image in so many tunes the rates, and is not trained on meanwhile
_TUNING_SEED = 0


@dataclass(frozen=True)
class Data:
    """The images of a study."""

    train: Images
    test: Images
    classes: int


def read_data(settings: AccuracySettings) -> Data:
    """Read as many images as the study takes, drawn evenly. Raises ConfigError."""
    train, test = load(settings.data, "train"), load(settings.data, "test")
    return Data(
        train=some_of(read_images(train, settings.input_size, None), settings.images),
        test=some_of(read_images(test, settings.input_size, None), settings.test_images),
        classes=len(train.classes),
    )


def device_for_training() -> torch.device:
    """Return the first GPU, or the processor where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class CellRunner:
    """Runs the cells of one study; finished ones stay in its folder."""

    def __init__(self, settings: AccuracySettings, data: Data, folder: Path) -> None:
        self._settings = settings
        self._data = data
        self._folder = folder
        self._device = device_for_training()
        self._info = InputInfo(size=settings.input_size, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    def run(self, key: CellKey, rates: Rates) -> Cell:
        """Return a cell, from its file; what ways this lacks are run and added to it."""
        path = self._folder / rates.name(key.split) / f"{key.name}.json"
        clouds = {} if key.split is None else self._clouds(key.variant, key.split, rates)
        wanted = list(clouds) or [WHOLE]
        found = read_record(path, Cell)
        if lacking := [way for way in wanted if found is None or way not in found.final]:
            started = time.perf_counter()
            cell = (
                self._full(key, rates)
                if key.split is None
                else self._cut(key, rates, {way: clouds[way] for way in lacking})
            )
            found = _with(found, cell, time.perf_counter() - started)
            write_record(path, found)
        assert found is not None
        return found.model_copy(update={"final": {way: found.final[way] for way in wanted}})

    def tune_full(self) -> Tuned:
        """Return the rate with which full-cloud training does best."""
        return self._tuned("full", lambda rates: [self._full_at(one) for one in rates])

    def tune_cut(self, split: int, *, with_sgd: bool) -> CutRates:
        """Return the rates with which the early exit, and then the final exit behind it do best."""

        def finals(way: CloudWay) -> Measure:
            return lambda rates: self._cut_at(split, edge.rate, way, rates)[1]

        edge = self._tuned(
            f"edge-split{split}",
            lambda rates: [self._cut_at(split, one, SENT, ())[0] for one in rates],
        )
        return CutRates(
            split=split,
            edge=edge,
            cloud=self._tuned(f"cloud-split{split}", finals(SENT)),
            sgd=self._tuned(f"sgd-split{split}", finals(SGD), FIRST_OF_SGD) if with_sgd else None,
        )

    def _tuned(self, name: str, measure: Measure, first: Sequence[float] = FIRST) -> Tuned:
        return tune(self._folder / f"rate-{name}.json", measure, first)

    def _full_at(self, rate: float) -> float:
        train, held_out = self._parts()
        spec = self._settings.network(self._data.classes)
        run = FullRun(spec, self._schedule(rate, train), self._device, _TUNING_SEED)
        self._train(run.step, train, _TUNING_SEED)
        return run.evaluate(self._batches(held_out))

    def _cut_at(
        self, split: int, edge: float, way: CloudWay, clouds: Sequence[float]
    ) -> tuple[float, tuple[float, ...]]:
        train, held_out = self._parts()
        run = HierarchicalRun(
            CutSpec(self._settings.network(self._data.classes), split),
            [(way, self._schedule(rate, train)) for rate in clouds],
            self._schedule(edge, train),
            device=self._device,
            seed=_TUNING_SEED,
        )
        self._train(run.step, train, _TUNING_SEED)
        shares = run.evaluate(self._batches(held_out))
        return shares.early, shares.finals

    def _clouds(
        self, variant: str, split: int, rates: Rates
    ) -> dict[str, tuple[CloudWay, Schedule]]:
        """Return the cloud partitions behind a cut, by their ways' names in a cell."""
        tuned, found = rates.at(split), {}
        for way in self._settings.clouds(variant, split):
            name, rate = way.name, tuned.cloud.rate
            if way.is_sgd:
                assert tuned.sgd is not None
                rate = tuned.sgd.rate
                name = f"{name} at {rate:g}"
            found[name] = (way, self._schedule(rate, self._data.train))
        return found

    def _full(self, key: CellKey, rates: Rates) -> Cell:
        train = self._data.train
        spec = self._settings.network(self._data.classes, VARIANTS[key.variant].normalization)
        schedule = self._schedule(rates.full.rate, train)
        run = FullRun(spec, schedule, self._device, key.seed)
        self._train(run.step, train, key.seed)
        share = run.evaluate(self._batches(self._data.test))
        return Cell(
            key=key,
            early=None,
            final={WHOLE: share},
            sent_bytes=None,
            steps=schedule.steps,
            seconds=0.0,
        )

    def _cut(
        self, key: CellKey, rates: Rates, clouds: Mapping[str, tuple[CloudWay, Schedule]]
    ) -> Cell:
        assert key.split is not None
        train, settings, variant = self._data.train, self._settings, VARIANTS[key.variant]
        spec = settings.network(self._data.classes, variant.normalization)
        width = open_network(spec).point(key.split).feature_shape[0]
        bottleneck = width // NARROWED_TO if variant.narrowed else None
        edge = self._schedule(rates.at(key.split).edge.rate, train)
        run = HierarchicalRun(
            CutSpec(spec, key.split, bottleneck),
            list(clouds.values()),
            edge,
            device=self._device,
            seed=key.seed,
            larger=settings.larger(self._data.classes, variant.normalization),
        )
        self._train(run.step, train, key.seed)
        shares = run.evaluate(self._batches(self._data.test))
        images, _ = next(self._batches(self._data.test))
        return Cell(
            key=key,
            early=shares.early,
            final=dict(zip(clouds, shares.finals, strict=True)),
            sent_bytes=run.sent_bytes(images[: settings.batch_size]),
            steps=edge.steps,
            seconds=0.0,
        )

    def _schedule(self, rate: float, train: Images) -> Schedule:
        steps = self._settings.passes * (len(train) // self._settings.batch_size)
        return Schedule(rate, steps, self._settings.precision)

    def _train(self, step: Callable[[int, Labelled], None], train: Images, seed: int) -> None:
        """Go over the images in an order that the seed decides, whatever is trained."""
        random = np.random.default_rng((seed, 0))
        size, number = self._settings.batch_size, 0
        for _ in range(self._settings.passes):
            order = random.permutation(len(train))
            for start in range(0, len(order) - size + 1, size):
                step(number, self._as_inputs(train.take(order[start : start + size].tolist())))
                number += 1

    def _batches(self, images: Images) -> Iterator[Labelled]:
        return map(self._as_inputs, images.parts(_TEST_BATCH))

    def _as_inputs(self, images: Images) -> Labelled:
        inputs = torch.from_numpy(normalize(images.pixels, self._info))
        return inputs.to(self._device), torch.from_numpy(images.slots).to(self._device)

    def _parts(self) -> tuple[Images, Images]:
        """Return what the rates are tuned with: images to train on, and images to measure."""
        numbers = range(len(self._data.train))
        return (
            self._data.train.take([one for one in numbers if one % _HELD_OUT]),
            self._data.train.take([one for one in numbers if one % _HELD_OUT == 0]),
        )


def _with(found: Cell | None, cell: Cell, seconds: float) -> Cell:
    """Return a cell with what it lacked. seconds: that this took."""
    if found is None:
        return cell.model_copy(update={"seconds": seconds})
    final = {**found.final, **cell.final}
    return found.model_copy(update={"final": final, "seconds": found.seconds + seconds})
