"""The rehearsal memory: a flood, its cost for disk and process, and what it is good for."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.images import Pixels, normalize, read_image, resize
from hiertk_edge.rehearsal import RehearsalMemory
from hiertk_edge.rehearsal.batches import Wanted
from hiertk_edge.sources import Labelled
from hiertk_protocol.bundle import Bundle, open_bundle

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.workplace import Workplace, environment, python

TITLE = "Rehearsal memory"
HOW = """\
Pixels of 32x32 at the default 16 MiB, four in ten of one class. *Flood*: samples offered one after
another, each committed on its own, with a batch of 16 and 16 rehearsed ones taken out for training
whenever 16 wait; a repetition is a tenth of them. *Written*: from `/proc/self/io` over the second
half, when the memory is full and rows are overwritten; all of a sample's life, the held-out share
included. *What it adds*: resident memory of a process that opens the full memory and takes 20
batches. *After a stream sorted by class*: Fashion-MNIST's ten classes come one after another, once,
16 fresh images a step, to a new edge partition; with rehearsal, 16 rehearsed ones join them. Then
the early exit is measured on held-out images of all classes."""

_SAMPLES = {"tiny": 400, "quick": 5_000, "full": 10_000}
_BATCH = 32
_BATCHES = 20
_FRESH = 16
_MIB = 1 << 20


@dataclass(frozen=True)
class _Written:
    """Bytes written by this process: asked of the kernel, and brought to a disk."""

    asked: int
    to_disk: int

    @classmethod
    def now(cls) -> "_Written":
        lines = Path("/proc/self/io").read_text().splitlines()
        counts = {name: int(value) for name, value in (line.split(": ") for line in lines)}
        return cls(counts["wchar"], counts["write_bytes"])


def measure(place: Workplace) -> list[Figure]:
    """Return rates, bytes, memory and accuracies."""
    path = place.folder / "memory.sqlite"
    figures = _flood(place, path)
    command = python("benchmarks.rehearsal", str(place.bundle.folder), str(path))
    added = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment()
    ).stdout
    figures.append(Figure(what="what the full memory adds", unit="MB", samples=(int(added) / 1e6,)))
    place.tell(f"adds {figures[-1].text}")
    return figures + [_after_sorted_stream(place, max_bytes) for max_bytes in (0, _MIB, 16 * _MIB)]


def _flood(place: Workplace, path: Path) -> list[Figure]:
    count = _SAMPLES[place.effort]
    samples = list(_samples(place.bundle, count))
    rates: list[float] = []
    batch_ms: list[float] = []
    with closing(RehearsalMemory(path, manifest=place.bundle.manifest)) as memory:
        for part in range(10):
            if part == 5:
                before = _Written.now()
            started = time.perf_counter()
            for one in samples[part * count // 10 : (part + 1) * count // 10]:
                if not memory.offer(one):
                    raise RuntimeError("the waiting room is full")
                if memory.waiting == _FRESH:
                    batch_ms.append(_take_batch(memory))
            rates.append(count / 10 / (time.perf_counter() - started))
        after = _Written.now()
        samples_written = count - count // 2
        place.tell(f"{memory.bytes / 1e6:.1f} MB, at most {memory.max_file_bytes / 1e6:.1f} MB")
    figures = [
        Figure(what="flood", unit="samples/s", samples=tuple(rates), target=at_least(500)),
        Figure(
            what="taking a batch, 16 fresh and 16 rehearsed", unit="ms", samples=tuple(batch_ms)
        ),
        _per_sample("asked of the kernel", after.asked - before.asked, samples_written),
    ]
    if after.to_disk > before.to_disk:  # else there is no disk below this file system
        figures.append(_per_sample("to the disk", after.to_disk - before.to_disk, samples_written))
    opening = []
    for _ in range(5):
        started = time.perf_counter()
        RehearsalMemory(path, manifest=place.bundle.manifest).close()
        opening.append(time.perf_counter() - started)
    figures.append(
        Figure(what="opening a full memory", unit="s", samples=tuple(opening), target=at_most(1))
    )
    for figure in figures:
        place.tell(f"{figure.what}: {figure.text}")
    return figures


def _per_sample(what: str, written: int, samples: int) -> Figure:
    return Figure(
        what=f"written per sample of 3 KiB, {what}",
        unit="bytes",
        samples=(written / samples,),
    )


def _samples(bundle: Bundle, count: int) -> Iterator[Labelled]:
    names = bundle.manifest.classes.names
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
        slot = 0 if number % 10 < 4 else 1 + number % 9
        yield Labelled(pixels, names[slot], "benchmark")


def _take_batch(memory: RehearsalMemory) -> float:
    started = time.perf_counter()
    batch = memory.next_batch(Wanted(_BATCH, rehearsed_share=0.5))
    if batch is not None:
        memory.trained(batch)
    return 1000 * (time.perf_counter() - started)


def _after_sorted_stream(place: Workplace, max_bytes: int) -> Figure:
    """Train on one class after another; return the early exit's accuracy on all of them."""
    bundle = place.bundle
    learner = open_learner(bundle)
    path = place.folder / f"sorted-{max_bytes}.sqlite"
    size = 2 * _FRESH if max_bytes else _FRESH
    info = bundle.manifest.input
    memory = RehearsalMemory(path, manifest=bundle.manifest, max_bytes=max_bytes, held_out_share=0)
    with closing(memory):
        stream = _images(bundle, place.images)
        while part := list(islice(stream, _FRESH)):
            for one in part:
                memory.offer(one)
            batch = memory.next_batch(Wanted(size, rehearsed_share=0.5), at_least=2)
            if batch is not None:
                learner.step(normalize(batch.pixels, info), batch.slots)
                memory.trained(batch)
    names = bundle.manifest.classes.names
    right = count = 0
    held_out = _images(bundle, place.held_out)
    while part := list(islice(held_out, _BATCH)):
        labels = np.array([names.index(one.label) for one in part], np.int64)
        pixels: Pixels = np.stack([one.pixels for one in part])
        right += int(
            np.sum(learner.evaluate(normalize(pixels, info), labels).predictions == labels)
        )
        count += len(labels)
    kind = f"{max_bytes >> 20} MiB" if max_bytes else "none"
    figure = Figure(
        what=f"early exit after a stream sorted by class, rehearsal: {kind}",
        unit="%",
        samples=(100 * right / count,),
    )
    place.tell(f"{figure.what}: {figure.text}")
    return figure


def _images(bundle: Bundle, folder: Path) -> Iterator[Labelled]:
    """Yield a folder's images, one class after another."""
    for name in bundle.manifest.classes.names:
        for path in sorted((folder / name).iterdir()):
            pixels = resize(read_image(path), bundle.manifest.input)
            yield Labelled(pixels, name, str(path))


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def print_added(bundle: Bundle, path: Path) -> None:
    """Print what opening a full memory and taking batches adds to this process."""
    before = _resident_bytes()
    with closing(RehearsalMemory(path, manifest=bundle.manifest)) as memory:
        for one in islice(_samples(bundle, 100_000), 20_000, 20_000 + _BATCHES * _FRESH):
            memory.offer(one)
            if memory.waiting == _FRESH:
                _take_batch(memory)
        print(_resident_bytes() - before)


if __name__ == "__main__":
    print_added(open_bundle(Path(sys.argv[1])), Path(sys.argv[2]))
