"""What a cut sends, against the raw image; and a smaller cut where it sends more."""

from dataclasses import dataclass

from hiertk_protocol.manifest import Manifest
from torch import nn

from hiertk.models import cut, separation_points
from hiertk.models.networks import feature_shape


@dataclass(frozen=True)
class Uplink:
    """Bytes of one sample: features packed and not yet compressed, and the raw 8-bit RGB image."""

    feature_bytes: int
    raw_bytes: int

    @property
    def pays(self) -> bool:
        """Whether less is sent than the raw image."""
        return self.feature_bytes < self.raw_bytes


def uplink(manifest: Manifest) -> Uplink:
    """Return what a bundle sends per sample."""
    return Uplink(manifest.features.packed_bytes, manifest.input.raw_bytes)


def advise(model: nn.Module, manifest: Manifest) -> str | None:
    """Return a warning with the nearest choices that send less than the image, if it is needed."""
    now = uplink(manifest)
    if now.pays:
        return None
    choices = []
    if manifest.features.bits == 8 and (manifest.features.values + 1) // 2 < now.raw_bytes:
        choices.append(f"--bits 4 ({(manifest.features.values + 1) // 2} bytes)")
    nearest = _nearest_smaller_split(model, manifest)
    if nearest is not None:
        split, size = nearest
        choices.append(f"--split {split} ({size} bytes)")
    smaller = " or ".join(choices)
    return (
        f"features take {now.feature_bytes} bytes a sample before compression, more than the raw "
        f"image's {now.raw_bytes}: "
        + (f"take {smaller}" if smaller else "no cut of this network sends less at these bits")
    )


def _nearest_smaller_split(model: nn.Module, manifest: Manifest) -> tuple[int, int] | None:
    """Return the nearest separation point that sends less than the image, and its bytes."""
    found = []
    for split, module in enumerate(separation_points(manifest.model.name, model), start=1):
        channels, height, width = feature_shape(cut(model, module).edge, manifest.input.size)
        values = channels * height * width
        size = values if manifest.features.bits == 8 else (values + 1) // 2
        if size < manifest.input.raw_bytes:
            found.append((abs(split - manifest.model.split), split, size))
    return min(found)[1:] if found else None
