"""What a study of accuracy changes about a network before it is cut."""

import re
from dataclasses import dataclass, replace

from hiertk_protocol.errors import ConfigError, ModelError
from hiertk_protocol.manifest import Normalization

from hiertk.models import Cuttable
from hiertk.models.bottleneck import narrows
from hiertk.models.normalization import has_batch_normalization

_KEPT = 4  # a bottleneck keeps one channel in so many, where nothing else is asked for
_NAME = re.compile(r"(?P<kind>[a-z]+)(:(?P<channels>[1-9][0-9]{0,4}))?", re.ASCII)


@dataclass(frozen=True)
class Variant:
    """One variant. channels: that a bottleneck keeps, None for a quarter."""

    normalization: Normalization = "batch"
    is_narrowed: bool = False
    channels: int | None = None

    @property
    def has_whole(self) -> bool:
        """Whether it has a full-cloud training: a whole network has no cut to narrow."""
        return not self.is_narrowed

    def bottleneck(self, width: int) -> int | None:
        """Return how many of so many channels a bottleneck keeps; None where there is none."""
        return (self.channels or width // _KEPT) if self.is_narrowed else None


PLAIN, BOTTLENECK = "plain", "bottleneck"
VARIANTS = {
    PLAIN: Variant(),
    BOTTLENECK: Variant(is_narrowed=True),
    "group": Variant(normalization="group"),
}


def find_variant(name: str) -> Variant:
    """Return the variant of a name; a bottleneck's may end in its channels, as bottleneck:8.

    Raises ConfigError.
    """
    parts = _NAME.fullmatch(name)
    found = VARIANTS.get(parts["kind"]) if parts else None
    if parts is None or found is None or (parts["channels"] and not found.is_narrowed):
        raise ConfigError(
            f"unknown variant {name!r}: choose from {', '.join(VARIANTS)}, {BOTTLENECK}:CHANNELS"
        )
    return replace(found, channels=int(parts["channels"])) if parts["channels"] else found


def name_in_files(name: str) -> str:
    """Return a variant's name as it stands in names of files."""
    return name.replace(":", "")


def possible_variants(
    names: tuple[str, ...], network: Cuttable, splits: tuple[int, ...]
) -> tuple[str, ...]:
    """Return those that change something about a network.

    Raises ConfigError, and ModelError for a bottleneck that narrows nothing at a separation point.
    """
    for name in names:
        for split in splits:
            width = network.point(split).feature_shape[0]
            left = find_variant(name).bottleneck(width)
            if left is not None and not narrows(left, width):
                raise ModelError(
                    f"variant {name} at separation point {split}: the features have {width} "
                    "channels there, take fewer"
                )
    has_any = has_batch_normalization(network.model)
    return tuple(name for name in names if has_any or find_variant(name).normalization == "batch")
