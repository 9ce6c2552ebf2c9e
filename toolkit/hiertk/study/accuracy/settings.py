"""How large the study of accuracy is, and which of its cells there are."""

from dataclasses import dataclass, replace

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import Normalization

from hiertk.models import NetworkSpec
from hiertk.study.accuracy.records import CellKey
from hiertk.study.accuracy.variants import PLAIN, VARIANTS, find_variant
from hiertk.study.precision import Precision

_LARGER = {"resnet18": "resnet34", "vgg16": "vgg19"}


@dataclass(frozen=True)
class CloudWay:
    """One way to train a cloud partition on an edge partition's features.

    bits: None sends features as they are. replays: each step takes a batch of earlier features
    along. is_larger: the layers behind the cut are those of a deeper network. is_sgd: with SGD and
    its own rate, in the place of AdamW. times: what the rate is multiplied by.
    """

    name: str
    bits: int | None
    replays: bool = False
    is_larger: bool = False
    is_sgd: bool = False
    times: float = 1.0

    @property
    def raises(self) -> bool:
        """Whether it is there to raise the final exit above the one that is deployed."""
        return self.replays or self.is_larger or self.is_sgd or self.times != 1


SENT = CloudWay("4 bits", 4)
REPLAY = CloudWay("4 bits, replay", 4, replays=True)
LARGER = CloudWay("4 bits, larger", 4, is_larger=True)
SLOWER = CloudWay("4 bits, a third of the rate", 4, times=1 / 3)
FASTER = CloudWay("4 bits, three times the rate", 4, times=3)
SGD = CloudWay("4 bits, SGD", 4, is_sgd=True)
BITS = (CloudWay("float", None), CloudWay("8 bits", 8), SENT)
WAYS = {
    "float": BITS[0],
    "8": BITS[1],
    "4": SENT,
    "replay": REPLAY,
    "larger": LARGER,
    "slower": SLOWER,
    "faster": FASTER,
    "sgd": SGD,
}


@dataclass(frozen=True)
class AccuracySettings:
    """One study.

    splits: separation points, None for all. images: of the training part, None for all;
    test_images likewise. passes: over the training images. ways: of the plain network's clouds.
    raise_splits: separation points with the ways that raise the final exit, None for all.
    tune_splits: separation points with rates of their own, None for all; tune_variants likewise.
    tune_seeds: at most so many measure a rate. precision: of training steps in the cloud,
    full-cloud training among them.
    """

    data: str = "fashion-mnist"
    model: str = "resnet18"
    input_size: int = 32
    splits: tuple[int, ...] | None = None
    variants: tuple[str, ...] = tuple(VARIANTS)
    seeds: tuple[int, ...] = (0, 1, 2)
    images: int | None = None
    test_images: int | None = None
    passes: int = 4
    batch_size: int = 32
    ways: tuple[str, ...] = ("float", "8", "4", "replay", "larger")
    raise_splits: tuple[int, ...] | None = None
    tune_splits: tuple[int, ...] | None = None
    tune_variants: tuple[str, ...] | None = None
    tune_seeds: int = 3
    precision: Precision = "float32"

    @property
    def some_splits(self) -> dict[str, tuple[int, ...] | None]:
        """The options that choose among the separation points (None: all), by their names."""
        return {"--raise-splits": self.raise_splits, "--tune-splits": self.tune_splits}

    def check(self) -> None:
        """Refuse what cannot be run. Raises ConfigError."""
        if not self.seeds:
            raise ConfigError("a study needs a seed at least")
        for name in self.variants:
            find_variant(name)
        if PLAIN not in self.variants:
            raise ConfigError(f"the variants need {PLAIN}, which the others are compared with")
        if self.tune_variants and PLAIN not in self.tune_variants:
            raise ConfigError(f"--tune-variants needs {PLAIN}, whose rates serve the others")
        if others := set(self.tune_variants or ()) - set(self.variants):
            raise ConfigError(f"--tune-variants has {min(others)}, --variants has not")
        if unknown := set(self.ways) - set(WAYS):
            raise ConfigError(f"unknown way {min(unknown)!r}: choose from {', '.join(WAYS)}")
        if "4" not in self.ways:
            raise ConfigError("the ways need 4 (bits), which is what is deployed")
        for option, some in self.some_splits.items():
            if self.splits and (points := set(some or ()) - set(self.splits)):
                raise ConfigError(f"{option} has {min(points)}, --splits has not")

    def quick(self) -> "AccuracySettings":
        """Return the same study on little, for a first look."""
        return replace(
            self,
            splits=(2, 6),
            raise_splits=None,
            tune_splits=(2,),
            tune_variants=(PLAIN,),
            tune_seeds=1,
            seeds=(0,),
            images=2000,
            test_images=1000,
            passes=2,
        )

    def as_options(self) -> list[str]:
        """Return the options of the command that gives the same results."""
        options = ["--data", self.data, "--model", self.model, "--input-size", str(self.input_size)]
        if self == self.quick():
            return [*options, "--quick"]
        options += ["--splits", _joined(self.splits) if self.splits else "all"]
        options += ["--variants", ",".join(self.variants), "--seeds", str(len(self.seeds))]
        if self.images is not None:
            options += ["--images", str(self.images)]
        options += ["--passes", str(self.passes), "--ways", ",".join(self.ways)]
        for option, some in self.some_splits.items():
            options += [] if some is None else [option, _joined(some)]
        if self.tune_variants:
            options += ["--tune-variants", ",".join(self.tune_variants)]
        options += ["--tune-seeds", str(self.tune_seeds)]
        return [*options, "--precision", self.precision]

    def network(self, slots: int, normalization: Normalization = "batch") -> NetworkSpec:
        """Return the network with so many outputs."""
        return NetworkSpec(self.model, slots, self.input_size, normalization=normalization)

    def larger(self, slots: int, normalization: Normalization) -> NetworkSpec | None:
        """Return the deeper network that can lend its last layers, if one is known."""
        name = _LARGER.get(self.model)
        return replace(self.network(slots, normalization), name=name) if name else None

    def clouds(self, name: str, split: int) -> tuple[CloudWay, ...]:
        """Return how a variant's cloud partitions are trained: side by side, on one edge's."""
        if name != PLAIN:
            return (SENT,)
        is_raised = self.raise_splits is None or split in self.raise_splits
        known = (WAYS[name] for name in self.ways if is_raised or not WAYS[name].raises)
        return tuple(way for way in known if not way.is_larger or self.model in _LARGER)


def _joined(splits: tuple[int, ...]) -> str:
    return ",".join(map(str, splits))


def plan_cells(settings: AccuracySettings, splits: tuple[int, ...]) -> list[CellKey]:
    """Return all cells, one for each way, variant, separation point and seed."""
    full = [
        CellKey(variant=name, split=None, seed=seed)
        for name in settings.variants
        if find_variant(name).has_whole
        for seed in settings.seeds
    ]
    cut = [
        CellKey(variant=name, split=split, seed=seed)
        for seed in settings.seeds
        for name in settings.variants
        for split in splits
    ]
    return full + cut
