"""Training runs over the images of a study, from fresh weights to the shares on other images."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from hiertk_edge.images import normalize
from hiertk_protocol.manifest import InputInfo, Normalization

from hiertk.export.settings import IMAGENET_MEAN, IMAGENET_STD
from hiertk.models import CutSpec, open_network
from hiertk.study.accuracy.data import Data
from hiertk.study.accuracy.runs import FullRun, HierarchicalRun, Labelled, Schedule, Shares
from hiertk.study.accuracy.settings import AccuracySettings, CloudWay
from hiertk.study.accuracy.variants import find_variant
from hiertk.study.images import Images

_TEST_BATCH = 250


def device_for_training() -> torch.device:
    """Return the first GPU, or the processor where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class StudyTrainer:
    """Trains a study's networks on images, and measures them on others."""

    def __init__(self, settings: AccuracySettings, data: Data) -> None:
        self._settings = settings
        self._data = data
        self._device = device_for_training()
        self._info = InputInfo(size=settings.input_size, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    @property
    def steps(self) -> int:
        """How many steps a run has."""
        return self._settings.passes * (len(self._data.train) // self._settings.batch_size)

    def full(self, rate: float, seed: int, normalization: Normalization = "batch") -> float:
        """Train a whole network; return its share of right predictions."""
        spec = self._settings.network(self._data.classes, normalization)
        run = FullRun(spec, self._schedule(rate), self._device, seed)
        self._train(run.step, seed)
        return run.evaluate(self._test())

    def cut(
        self,
        variant: str,
        split: int,
        edge: float,
        clouds: Sequence[tuple[CloudWay, float]],
        seed: int,
    ) -> tuple[Shares, float]:
        """Train an edge partition, and clouds behind it; return the shares, and bytes of a sample.

        edge, and beside each way of a cloud: learning rates.
        """
        kind, settings = find_variant(variant), self._settings
        spec = settings.network(self._data.classes, kind.normalization)
        width = open_network(spec).point(split).feature_shape[0]
        run = HierarchicalRun(
            CutSpec(spec, split, kind.bottleneck(width)),
            [(way, self._schedule(rate)) for way, rate in clouds],
            self._schedule(edge),
            device=self._device,
            seed=seed,
            larger=settings.larger(self._data.classes, kind.normalization),
        )
        self._train(run.step, seed)
        images, _ = next(self._test())
        return run.evaluate(self._test()), run.sent_bytes(images[: settings.batch_size])

    def _schedule(self, rate: float) -> Schedule:
        return Schedule(rate, self.steps, self._settings.precision)

    def _train(self, step: Callable[[int, Labelled], None], seed: int) -> None:
        """Go over the images in an order that the seed decides, whatever is trained."""
        random = np.random.default_rng((seed, 0))
        train, size, number = self._data.train, self._settings.batch_size, 0
        for _ in range(self._settings.passes):
            order = random.permutation(len(train))
            for start in range(0, len(order) - size + 1, size):
                step(number, self._as_inputs(train.take(order[start : start + size].tolist())))
                number += 1

    def _test(self) -> Iterator[Labelled]:
        return map(self._as_inputs, self._data.test.parts(_TEST_BATCH))

    def _as_inputs(self, images: Images) -> Labelled:
        inputs = torch.from_numpy(normalize(images.pixels, self._info))
        return inputs.to(self._device), torch.from_numpy(images.slots).to(self._device)
