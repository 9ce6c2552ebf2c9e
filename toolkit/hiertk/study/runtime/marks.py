"""Accuracy over time: what snapshots of both sides' weights would have answered.

It is measured after the run, so that it takes no time of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hiertk_edge.images import normalize
from safetensors.torch import load_file
from torch import Tensor, nn

from hiertk.models import CutSpec, both_sides, open_network
from hiertk.study.runtime.baselines.split import adamw
from hiertk.study.runtime.materials import Materials
from hiertk.study.runtime.meter import LinkMeter
from hiertk.study.runtime.records import CellKey, Mark
from hiertk.study.runtime.settings import WAYS, RuntimeSettings
from hiertk.training import FullCloudTraining, HierarchicalTraining

_TEST_BATCH = 250


@dataclass(frozen=True)
class Moment:
    """A snapshot of one side. steps: of that side. at: when the weights were these, seconds."""

    side: str
    steps: int
    at: float
    file: str

    @classmethod
    def of(cls, line: dict[str, Any]) -> "Moment":
        """Read the line that told of it."""
        return cls(line["side"], line["steps"], line["taken"], line["file"])


@dataclass(frozen=True)
class Pair:
    """The weights of both sides at one moment; None: none yet."""

    at: float
    edge: str | None
    cloud: str | None


def pairs_of(moments: Sequence[Moment], *, in_step: bool) -> list[Pair]:
    """Return what the two sides held together, in order.

    in_step: of the same step, as in split learning; else the newest of each side at each moment.
    """
    if in_step:
        edges = {one.steps: one for one in moments if one.side == "edge"}
        clouds = {one.steps: one for one in moments if one.side == "cloud"}
        return [
            Pair(max(edges[steps].at, clouds[steps].at), edges[steps].file, clouds[steps].file)
            for steps in sorted(edges.keys() & clouds.keys())
        ]
    pairs, newest = [], {}
    for one in sorted(moments, key=lambda one: one.at):
        newest[one.side] = one.file
        pairs.append(Pair(one.at, newest.get("edge"), newest.get("cloud")))
    return pairs


class Evaluator:
    """Measures the snapshots of one cell on the test images."""

    def __init__(
        self, key: CellKey, settings: RuntimeSettings, materials: Materials, folder: Path
    ) -> None:
        self._key = key
        self._way = WAYS[key.way]
        self._settings = settings
        self._folder = folder
        self._images = materials.test_images()
        self._network = open_network(materials.spec)
        self._bias = torch.zeros(len(materials.classes))
        self._spec = materials.spec

    def marks(self, moments: Sequence[Moment], start: float, meter: LinkMeter) -> tuple[Mark, ...]:
        """Return a mark for each pair of snapshots."""
        marks = []
        for pair in pairs_of(moments, in_step=self._way.is_split_learning):
            up, down = meter.between(start, pair.at)
            early, final = self._whole(pair) if self._way.payload else self._cut(pair)
            marks.append(
                Mark(at_s=pair.at - start, up_bytes=up, down_bytes=down, early=early, final=final)
            )
        return tuple(marks)

    def _whole(self, pair: Pair) -> tuple[None, float]:
        model = self._network.model
        weights = self._load(pair.edge) | self._load(pair.cloud)
        model.load_state_dict(weights)
        training = FullCloudTraining(model, adamw(model, self._settings.rate), self._bias)
        return None, training.evaluate(self._batches())

    def _cut(self, pair: Pair) -> tuple[float | None, float | None]:
        cut = self._key.cut
        assert cut is not None
        sides = both_sides(self._network, CutSpec(self._spec, cut.split, cut.bottleneck))
        for module, file in ((sides.edge, pair.edge), (sides.cloud, pair.cloud)):
            _take(module, self._load(file))
        training = HierarchicalTraining(
            sides.edge,
            sides.cloud,
            adamw(sides.edge, self._settings.rate),
            adamw(sides.cloud, self._settings.rate),
            self._bias,
            cut.bits,
        )
        shares = training.evaluate(self._batches())
        return shares.early if pair.edge else None, shares.final if pair.cloud else None

    def _load(self, file: str | None) -> dict[str, Tensor]:
        return {} if file is None else load_file(self._folder / file)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for part in self._images.parts(_TEST_BATCH):
            inputs = torch.from_numpy(normalize(part.pixels, self._settings.input))
            yield inputs, torch.from_numpy(part.slots)


def _take(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load weights; an engine keeps no count of batches, and none is needed."""
    if not weights:
        return
    own = module.state_dict()
    counts = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    module.load_state_dict(counts | weights)
