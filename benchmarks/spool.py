"""The spool when it holds a lot: puts, gets, settling, opening, making room, and bytes written."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from hiertk_edge.spool import Cursor, Spool, SpoolLimits, WhenFull
from hiertk_edge.training.encoding import BatchEncoder
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import FeatureBatch

from benchmarks.figures import Figure, at_least, interleave, ratios
from benchmarks.workplace import Workplace

TITLE = "Spool with a large backlog"
HOW = """\
Messages as the agent makes them: features of ResNet-18 at separation point 2, batches of 32 real
images, 8 bits, put as they come and numbered anew. One spool holds 1 GB of them, the other one
nothing, and they take turns; a turn is the median of so many puts, or gets, each of which is timed.
What was put is settled between the turns, so that both stay as they are; gets read from the oldest
message on, as the uplink does, checksum included, from the page cache. Opening is timed with the
file's pages dropped from the cache. Bytes written are those that the process hands to the kernel
(`wchar` of `/proc/self/io`, write-ahead log and its checkpoints) for a put with its cursor, and for
a put, its sending and its settling, against the bytes of the messages. Putting into a full spool
includes what the policy does to make room."""

_HELD_BYTES = {"tiny": 4_000_000, "quick": 250_000_000, "full": 1_000_000_000}
_FULL_BYTES = {"tiny": 4 << 20, "quick": 32 << 20, "full": 64 << 20}
_TURNS = {"tiny": 1, "quick": 5, "full": 15}
_CALLS = {"tiny": 4, "quick": 40, "full": 40}
_OPENINGS = {"tiny": 1, "quick": 3, "full": 7}
_SETTLED_AT_ONCE = 1000
_DEVICE = "bench"
_POLICIES: tuple[WhenFull, ...] = ("drop-oldest", "thin-out", "fewer-bits")


def measure(place: Workplace) -> list[Figure]:
    """Return times, ratios and bytes."""
    _check_room(place)
    batches = _batches(place)
    size = sum(message.ByteSize() for message in batches[0])
    place.tell(f"a batch is {len(batches[0])} messages, {size / 1024:.0f} KiB")
    large = place.folder / "large.sqlite"
    _fill(place, large, batches, _HELD_BYTES[place.effort])
    return [
        *_beside_an_empty_one(place, large, batches),
        *_opening(place, large),
        *_settling(place, large),
        *_writing(place, batches, size),
        *_making_room(place, batches),
    ]


def _beside_an_empty_one(
    place: Workplace, large: Path, batches: list[list[FeatureBatch]]
) -> list[Figure]:
    calls = _CALLS[place.effort]
    with _opened(place, large) as held, _opened(place, place.folder / "empty.sqlite") as empty:
        works = [
            partial(work, spool, batches, calls)
            for work in (_put_ms, _get_ms)
            for spool in (held, empty)
        ]
        puts, empty_puts, gets, empty_gets = interleave(works, _TURNS[place.effort])
        text = f"{held.totals.held_bytes / 1e9:.2g} GB"
    return [
        Figure(what=f"put, spool of {text}", unit="ms", samples=tuple(puts)),
        Figure(
            what=f"put at an empty spool / at {text}",
            unit="",
            samples=ratios(empty_puts, puts),
            target=at_least(0.9),
        ),
        Figure(what=f"get, spool of {text}", unit="ms", samples=tuple(gets)),
        Figure(
            what=f"get at an empty spool / at {text}",
            unit="",
            samples=ratios(empty_gets, gets),
            target=at_least(0.9),
        ),
    ]


def _put_ms(spool: Spool, batches: list[list[FeatureBatch]], calls: int) -> float:
    """Return the median of some puts; what was put is settled again."""
    taken, numbers = [], []
    for call in range(calls):
        messages = batches[call % len(batches)]
        started = time.perf_counter()
        numbers += spool.put(messages, Cursor("bench", call))
        taken.append(1000 * (time.perf_counter() - started))
    spool.settle(0, numbers, {})
    return median(taken)


def _get_ms(spool: Spool, batches: list[list[FeatureBatch]], calls: int) -> float:
    """Return the median of some gets from the oldest message on."""
    numbers = []
    for call in range(calls):
        numbers += spool.put(batches[call % len(batches)], Cursor())
    taken = []
    seq = 0
    for _ in range(calls):
        started = time.perf_counter()
        stored = spool.next_after(seq)
        taken.append(1000 * (time.perf_counter() - started))
        assert stored is not None
        seq = stored.seq
    spool.settle(0, numbers, {})
    return median(taken)


def _opening(place: Workplace, large: Path) -> list[Figure]:
    seconds = []
    for _ in range(_OPENINGS[place.effort]):
        _forget_pages(large)
        started = time.perf_counter()
        with _opened(place, large):
            seconds.append(1000 * (time.perf_counter() - started))
    return [Figure(what="opening the large spool", unit="ms", samples=tuple(seconds))]


def _settling(place: Workplace, large: Path) -> list[Figure]:
    with _opened(place, large) as spool:
        through = spool.floor + min(_SETTLED_AT_ONCE, spool.totals.held // 2) - 1
        count = through - spool.floor + 1
        started = time.perf_counter()
        spool.settle(through, (), {})
        took = time.perf_counter() - started
    what = "settling many in one ack, for each message"
    return [Figure(what=what, unit="ms", samples=(1000 * took / count,))]


def _writing(place: Workplace, batches: list[list[FeatureBatch]], size: int) -> list[Figure]:
    calls = 5 * _CALLS[place.effort]
    with _opened(place, place.folder / "written.sqlite") as spool:
        before = _written_bytes()
        for call in range(calls):
            spool.put(batches[call % len(batches)], Cursor("bench", call))
        puts = _written_bytes() - before
        before = _written_bytes()
        for call in range(calls):
            numbers = spool.put(batches[call % len(batches)], Cursor("bench", call))
            for seq in numbers:
                spool.note_published(seq)
            spool.settle(numbers[-1], (), {})
        passing = _written_bytes() - before
    return [
        Figure(
            what="bytes written for each byte put",
            unit="",
            samples=(puts / (calls * size),),
        ),
        Figure(
            what="bytes written for each byte put, sent and settled",
            unit="",
            samples=(passing / (calls * size),),
        ),
    ]


def _making_room(place: Workplace, batches: list[list[FeatureBatch]]) -> list[Figure]:
    most = _FULL_BYTES[place.effort]
    with ExitStack() as stack:
        works = []
        for when_full in _POLICIES:
            path = place.folder / f"{when_full}.sqlite"
            _fill(place, path, batches, most)
            limits = SpoolLimits(max_bytes=most, when_full=when_full)
            spool = stack.enter_context(_opened(place, path, limits))
            works.append(partial(_full_put_ms, spool, batches, _CALLS[place.effort]))
        found = interleave(works, _TURNS[place.effort])
    return [
        Figure(what=f"put into a full spool, {when_full}", unit="ms", samples=tuple(samples))
        for when_full, samples in zip(_POLICIES, found, strict=True)
    ]


def _full_put_ms(spool: Spool, batches: list[list[FeatureBatch]], calls: int) -> float:
    started = time.perf_counter()
    for call in range(calls):
        spool.put(batches[call % len(batches)], Cursor("bench", call))
    return 1000 * (time.perf_counter() - started) / calls


@contextmanager
def _opened(place: Workplace, path: Path, limits: SpoolLimits | None = None) -> Iterator[Spool]:
    opened = Spool(
        path,
        bundle_id=place.bundle.manifest.bundle_id,
        device=_DEVICE,
        limits=limits or SpoolLimits(max_bytes=2 << 30),
    )
    with closing(opened) as spool:
        yield spool


def _batches(place: Workplace) -> list[list[FeatureBatch]]:
    features = place.bundle.manifest.features.model_copy(update={"bits": 8})
    encoder = BatchEncoder(place.bundle.manifest.model_copy(update={"features": features}), _DEVICE)
    return [
        encoder.encode(result, labels, edge_step=step, purpose=FeatureBatch.TRAIN)
        for step, (result, labels) in enumerate(place.trained_features(8))
    ]


def _fill(place: Workplace, path: Path, batches: list[list[FeatureBatch]], size: int) -> None:
    with _opened(place, path) as spool:
        step = 0
        while spool.totals.held_bytes < size:
            spool.put(batches[step % len(batches)], Cursor())
            step += 1
        place.tell(f"{path.name}: {spool.totals.held} messages, {path.stat().st_size / 1e6:.0f} MB")


def _written_bytes() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "wchar":
            return int(value)
    raise ConfigError("/proc/self/io does not tell what is written: measure on Linux")


def _check_room(place: Workplace) -> None:
    free = shutil.disk_usage(place.folder).free
    wanted = 1.3 * _HELD_BYTES[place.effort] + 8 * _FULL_BYTES[place.effort]
    if free < wanted:
        raise ConfigError(
            f"{place.folder}: {free / 1e9:.1f} GB are free, the spools take {wanted / 1e9:.1f} GB: "
            "make room, or set TMPDIR to another disk"
        )


def _forget_pages(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
