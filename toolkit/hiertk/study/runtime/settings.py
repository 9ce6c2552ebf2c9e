"""How large the study of runtime is, and which of its cells there are."""

from dataclasses import dataclass, replace
from typing import Literal

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import InputInfo

from hiertk.export.settings import IMAGENET_MEAN, IMAGENET_STD
from hiertk.option_checks import check_input_size
from hiertk.planner.plan import choose_split
from hiertk.planner.runtime_model import Link
from hiertk.planner.settings import PlanSettings
from hiertk.study.precision import Precision
from hiertk.study.runtime.baselines.role import Payload
from hiertk.study.runtime.records import USUAL_BACKEND, CellKey, Cut

PLANNED = "plan"
_FLOAT_BITS = {"fp32": 32, "fp16": 16}
_QUICK_LINKS = (1.1e6,)


@dataclass(frozen=True)
class Way:
    """A way of training. title: for people. payload: of a baseline; None: hierarchical.

    For hierarchical training, schedule: of the device; cloud_schedule and replay: of the cloud.
    """

    title: str
    payload: Payload | None = None
    schedule: Literal["stream", "edge-first"] = "stream"
    cloud_schedule: Literal["stream", "replay"] = "stream"
    replay: int = 0

    @property
    def is_split_learning(self) -> bool:
        """Whether gradients come back."""
        return self.payload in _FLOAT_BITS

    @property
    def is_steady(self) -> bool:
        """Whether device, link and cloud are at work all along."""
        return self.payload not in {"png", "jpeg"} and self.cloud_schedule == "stream"


RAW, PNG, JPEG = "raw", "png-once", "jpeg-once"
SPLIT_FP32, SPLIT_FP16 = "split-fp32", "split-fp16"
OURS, EDGE_FIRST, REPLAY = "hierarchical", "edge-first", "replay"
WAYS = {
    RAW: Way("full cloud, raw each epoch", "raw"),
    PNG: Way("full cloud, PNG once", "png"),
    JPEG: Way("full cloud, JPEG q90 once", "jpeg"),
    SPLIT_FP32: Way("split learning, fp32", "fp32"),
    SPLIT_FP16: Way("split learning, fp16", "fp16"),
    OURS: Way("hierarchical"),
    EDGE_FIRST: Way("hierarchical, edge first", None, "edge-first", "replay"),
    REPLAY: Way("hierarchical, cloud replay", None, "stream", "replay", replay=1),
}
REPLAY_PASSES = 2

# Where nothing is said; bottlenecks keep a quarter of the channels.
_CUTS = {
    "resnet18": "4:4,4:8,6:4,2:4:16,4:4:32",
    "vgg16": "7:4,7:8,10:4,4:4:32,7:4:64",
}


@dataclass(frozen=True)
class RuntimeSettings:
    """One study: a network at one input size. links: uplinks, bits per second.

    cuts: see parse_cuts; empty for the network's own. images: of the training part. levels: of
    accuracy, to be measured when and after how many bytes each is reached; none: not measured.
    backend: what trains on the device in hierarchical training. precision: of the cloud's training
    steps, in all ways alike.
    """

    data: str = "fashion-mnist"
    model: str = "resnet18"
    input_size: int = 32
    links: tuple[float, ...] = (1.1e6, 5.85e6, 18.88e6)
    ways: tuple[str, ...] = tuple(WAYS)
    cuts: str = ""
    images: int = 1920
    test_images: int = 1000
    epochs: int = 3
    batch_size: int = 32
    rate: float = 1e-3
    levels: tuple[float, ...] = ()
    backend: str = USUAL_BACKEND
    precision: Precision = "float32"
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be run. Raises ConfigError."""
        if unknown := set(self.ways) - set(WAYS):
            raise ConfigError(f"unknown way {min(unknown)!r}: choose from {', '.join(WAYS)}")
        if not self.links or not self.ways:
            raise ConfigError("a study needs a link and a way at least")
        if self.images < 4 * self.batch_size or self.images % self.batch_size:
            raise ConfigError(
                f"{self.images} images make no whole batches of {self.batch_size}, four at least"
            )
        check_input_size(self.input_size)
        if any(not 0 < level < 1 for level in self.levels):
            raise ConfigError("levels of accuracy are shares between 0 and 1")
        if self.epochs < 2:
            raise ConfigError("what is sent once pays from the second epoch on: take two at least")

    def quick(self) -> "RuntimeSettings":
        """Return the same study on little, for a first look."""
        cuts = self.cuts or _cuts(self.model).rpartition(",")[2]
        return replace(self, links=_QUICK_LINKS, cuts=cuts, images=320, test_images=200, epochs=2)

    def as_options(self) -> list[str]:
        """Return the options of the command that gives the same results."""
        options = ["--data", self.data, "--models", self.model, "--sizes", str(self.input_size)]
        options += ["--links", ",".join(f"{link / 1e6:g}mbit" for link in self.links)]
        options += ["--ways", ",".join(self.ways), "--cuts", self.cuts or _cuts(self.model)]
        options += ["--images", str(self.images), "--epochs", str(self.epochs)]
        if self.levels:
            options += ["--levels", ",".join(f"{100 * level:g}%" for level in self.levels)]
        return [*options, "--backend", self.backend, "--precision", self.precision]

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return self.images // self.batch_size

    @property
    def input(self) -> InputInfo:
        """How an image becomes an input."""
        return InputInfo(size=self.input_size, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    def cuts_at(self, bits_per_s: float) -> tuple[Cut, ...]:
        """Return the cuts for a link. Raises ConfigError."""
        return parse_cuts(self.cuts or _cuts(self.model), self._plan(bits_per_s))

    def _plan(self, bits_per_s: float) -> PlanSettings:
        return PlanSettings(
            model=self.model,
            link=Link(bits_per_s, bits_per_s),
            input_size=self.input_size,
            backend=self.backend,
            batch_size=self.batch_size,
            replay=0,
        )


def parse_cuts(text: str, plan: PlanSettings) -> tuple[Cut, ...]:
    """Read SPLIT:BITS, SPLIT:BITS:CHANNELS or plan, with commas between. Raises ConfigError."""
    cuts = [_planned(plan) if one == PLANNED else _cut(one) for one in text.split(",")]
    return tuple(dict.fromkeys(cuts))


def parse_sizes(text: str) -> tuple[int, ...]:
    """Read input sizes with commas between. Raises ConfigError."""
    if not all(part.isdecimal() and len(part) < 6 for part in text.split(",")):
        raise ConfigError(f"--sizes {text!r:.60}: write pixels with commas between, e.g. 32,64")
    return tuple(int(part) for part in text.split(","))


def plan_cells(settings: RuntimeSettings) -> list[CellKey]:
    """Return all cells, link by link. Raises ConfigError."""
    return [key for bits_per_s in settings.links for key in _cells_at(settings, bits_per_s)]


def _cells_at(settings: RuntimeSettings, bits_per_s: float) -> list[CellKey]:
    cuts = settings.cuts_at(bits_per_s)
    keys: list[CellKey] = []
    for name in settings.ways:
        way = WAYS[name]
        found: tuple[Cut | None, ...] = (None,) if way.payload else cuts
        if way.is_split_learning:
            bits = _FLOAT_BITS[str(way.payload)]
            found = tuple(dict.fromkeys(Cut(split=cut.split, bits=bits) for cut in cuts))
        keys += [CellKey(bits_per_s=bits_per_s, way=name, cut=cut) for cut in found]
    return keys


def _cuts(model: str) -> str:
    return _CUTS.get(model, PLANNED)


def _planned(plan: PlanSettings) -> Cut:
    split, bits = choose_split(plan)
    return Cut(split=split, bits=bits)


def _cut(text: str) -> Cut:
    parts = text.split(":")
    if len(parts) not in {2, 3} or not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise ConfigError(
            f"--cuts {text!r:.60}: write SPLIT:BITS, SPLIT:BITS:CHANNELS of a bottleneck, or plan"
        )
    split, bits, *channels = map(int, parts)
    if bits not in {4, 8}:
        raise ConfigError(f"--cuts {text}: features are sent at 8 or 4 bits")
    return Cut(split=split, bits=bits, bottleneck=channels[0] if channels else None)
