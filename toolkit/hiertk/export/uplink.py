"""What a cut sends, against the raw image; and a smaller cut where it sends more."""

from dataclasses import dataclass

from hiertk_protocol.manifest import Manifest

from hiertk.models import Cuttable


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


def advise(network: Cuttable, manifest: Manifest) -> list[str]:
    """Return a warning with the nearest choices that send less than the image, if it is needed."""
    now = uplink(manifest)
    if now.pays:
        return []
    choices = []
    if manifest.features.bits == 8 and (manifest.features.values + 1) // 2 < now.raw_bytes:
        choices.append(f"--bits 4 ({(manifest.features.values + 1) // 2} bytes)")
    nearest = _nearest_smaller_split(network, manifest)
    if nearest is not None:
        split, size = nearest
        choices.append(f"--split {split} ({size} bytes)")
    smaller = " or ".join(choices)
    return [
        f"features take {now.feature_bytes} bytes a sample before compression, more than the raw "
        f"image's {now.raw_bytes}: "
        + (f"take {smaller}" if smaller else "no cut of this network sends less at these bits")
    ]


def _nearest_smaller_split(network: Cuttable, manifest: Manifest) -> tuple[int, int] | None:
    """Return the nearest separation point that sends less than the image, and its bytes."""
    found = []
    for point in network.points:
        channels, height, width = point.feature_shape
        values = (manifest.model.bottleneck or channels) * height * width
        size = values if manifest.features.bits == 8 else (values + 1) // 2
        if size < manifest.input.raw_bytes:
            found.append((abs(point.number - manifest.model.split), point.number, size))
    return min(found)[1:] if found else None
