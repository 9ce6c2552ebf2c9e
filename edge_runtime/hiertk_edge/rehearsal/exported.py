"""The labelled images that a bundle brings along: a new memory begins with them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hiertk_protocol.bundle import REHEARSAL, Bundle
from hiertk_protocol.errors import BundleError
from safetensors import SafetensorError, safe_open

from hiertk_edge.classes.table import ClassTable
from hiertk_edge.rehearsal.cells import Head
from hiertk_edge.rehearsal.held_out import digest_of, is_held_out, rank_of
from hiertk_edge.rehearsal.labels import LabelRow


@dataclass(frozen=True)
class ExportedSample:
    """An image of the exporter's. pixels: (size, size, 3) 8-bit RGB. name: its class at export."""

    pixels: bytes
    name: str


Exported = Callable[[], Iterable[ExportedSample]]


@dataclass(frozen=True)
class FirstSample:
    """A sample that a new file begins with. row: what its label stands for."""

    head: Head
    pixels: bytes
    row: LabelRow


def read_exported(bundle: Bundle) -> Iterator[ExportedSample]:
    """Yield the images that a bundle brings along, one at a time in memory. Raises BundleError."""
    if REHEARSAL not in bundle.manifest.files:
        return
    path = bundle.path(REHEARSAL)
    names, size = bundle.manifest.classes.names, bundle.manifest.input.size
    try:
        with safe_open(path, "np") as file:
            images, slots = file.get_slice("images"), file.get_tensor("slots").tolist()
            _check(images.get_shape(), images.get_dtype(), [len(slots), size, size, 3])
            _check_slots(slots, len(names))
            for row, slot in enumerate(slots):
                yield ExportedSample(images[row].tobytes(), names[slot])
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: {error}: export the bundle again") from error


def _check(shape: list[int], kind: str, wanted: list[int]) -> None:
    if shape != wanted or kind != "U8":
        raise ValueError(f"its images are {shape} {kind}, not {wanted} U8")


def _check_slots(slots: list[int], class_count: int) -> None:
    if not all(0 <= slot < class_count for slot in slots):
        raise ValueError("it has an image of no class")


def first_samples(
    exported: Iterable[ExportedSample], table: ClassTable, held_out_share: float
) -> Iterator[FirstSample]:
    """Yield them as a new file stores them; those of classes that are gone by now are left out."""
    number = 0
    for sample in exported:
        slot = table.slot_of(sample.name)
        if slot is None:
            continue
        number += 1
        digest = digest_of(sample.pixels, slot)  # in a new file the label is the slot's number
        held_out = is_held_out(rank_of(digest), held_out_share)
        row = LabelRow(slot, table.by_slot[slot])
        yield FirstSample(Head(number, slot, held_out, digest), sample.pixels, row)
