"""What the tests of the rehearsal memory share: manifests, samples that differ, a memory."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from edge_parts import CLASSES, make_manifest
from hiertk_edge.rehearsal import DEFAULT_MAX_BYTES, MixedBatch, RehearsalMemory
from hiertk_edge.rehearsal.batches import Wanted
from hiertk_edge.sources import Labelled
from hiertk_protocol.manifest import ClassInfo, Manifest

NAMES = (*CLASSES, "black", "white")
SIZE = 16
SMALL_BYTES = 256 << 10  # a reservoir of some 150 samples of 16 by 16


def manifest_of(*, size: int = SIZE, names: Sequence[str] = CLASSES, capacity: int = 4) -> Manifest:
    manifest = make_manifest()
    return manifest.model_copy(
        update={
            "input": manifest.input.model_copy(update={"size": size}),
            "classes": ClassInfo(names=tuple(names), capacity=capacity),
        }
    )


def sample(number: int, slot: int = 0, *, size: int = SIZE) -> Labelled:
    """A noisy image that starts with its number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
    pixels.reshape(-1)[:4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
    return Labelled(pixels, NAMES[slot], f"sample {number}")


def numbers_in(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[int]:
    """The numbers of samples, checked to be whole."""
    numbers = []
    for one in pixels:
        number = int.from_bytes(one.reshape(-1)[:4].tobytes(), "little")
        assert np.array_equal(one, sample(number, size=one.shape[0]).pixels), "not as offered"
        numbers.append(number)
    return numbers


def fresh_in(batch: MixedBatch | None) -> list[int]:
    assert batch is not None
    return numbers_in(batch.pixels[: batch.fresh])


def held_out_in(memory: RehearsalMemory) -> dict[int, int]:
    """The numbers of the held-out samples, and their slots."""
    found: dict[int, int] = {}
    for pixels, slots in memory.held_out(7):
        found.update(zip(numbers_in(pixels), slots.tolist(), strict=True))
    return found


def train_all(memory: RehearsalMemory, size: int = 8, rehearsed_share: float = 0.5) -> list[int]:
    """Take all that waits out of the waiting room; return its numbers in that order."""
    trained = []
    while (batch := memory.next_batch(Wanted(size, rehearsed_share=rehearsed_share))) is not None:
        memory.trained(batch)
        trained += fresh_in(batch)
    return trained


@contextmanager
def open_memory(
    path: Path,
    *,
    manifest: Manifest | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    max_waiting: int = 512,
    held_out_share: float = 0.0,
) -> Iterator[RehearsalMemory]:
    memory = RehearsalMemory(
        path,
        manifest=manifest or manifest_of(),
        max_bytes=max_bytes,
        max_waiting=max_waiting,
        held_out_share=held_out_share,
    )
    with closing(memory):
        yield memory
