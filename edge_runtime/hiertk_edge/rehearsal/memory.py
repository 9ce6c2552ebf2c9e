"""The rehearsal memory: what streams offer waits in it for training, and some of it is kept.

It lies in the state folder as memory.sqlite. What was stored survives a killed process; after a
power cut the newest samples, some half a minute of them, may be missing.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.manifest import Manifest

from hiertk_edge.classes.record import ExportedClasses, KnowsClasses
from hiertk_edge.damaged_file import DamagedError, remove_set_aside, set_aside
from hiertk_edge.images import Pixels
from hiertk_edge.rehearsal.batches import Wanted, choose, choose_kept, is_full, read
from hiertk_edge.rehearsal.cells import UNKNOWN, Head, Place
from hiertk_edge.rehearsal.contents import Contents, load
from hiertk_edge.rehearsal.exported import Exported, first_samples
from hiertk_edge.rehearsal.file import MemoryFile
from hiertk_edge.rehearsal.held_out import digest_of, is_held_out, rank_of, surplus
from hiertk_edge.rehearsal.labels import LabelRow
from hiertk_edge.rehearsal.opening import open_file
from hiertk_edge.rehearsal.record import ClassCounts, MixedBatch
from hiertk_edge.rehearsal.reservoir import ClassState, Reservoir
from hiertk_edge.rehearsal.room import plan_room
from hiertk_edge.rehearsal.schema import Progress
from hiertk_edge.sources.record import Labelled, SlotArray

DEFAULT_MAX_BYTES = 16 << 20
DEFAULT_MAX_WAITING = 512
_WHAT = "rehearsal memory"
_MOST_WAITING = 1 << 16
_KEEPING = 1  # a stream of random numbers of its own


class RehearsalMemory:
    """Labelled images on the device; any thread may call anything."""

    def __init__(
        self,
        path: Path,
        *,
        manifest: Manifest,
        classes: KnowsClasses | None = None,
        exported: Exported = tuple,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_waiting: int = DEFAULT_MAX_WAITING,
        held_out_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        """Open or create the memory.

        classes: the device's; None: the bundle's, for ever. exported: gives the images that a new
        memory begins with. max_bytes: of the file, for what is
        kept: reservoir and held-out share; 0 keeps nothing. max_waiting: samples that may wait for
        training, in addition. seed: of a new memory. Raises ConfigError if it holds what does not
        fit the bundle, StorageError. One that is damaged is set aside, with a warning, and a new
        one begun.
        """
        _check_settings(max_bytes, max_waiting, held_out_share)
        self._path = path
        self._manifest = manifest
        self._classes = classes or ExportedClasses(manifest.classes)
        self._table = self._classes.table
        self._exported = exported
        self._seed = seed
        self._share = held_out_share
        self._shape = (manifest.input.size, manifest.input.size, 3)
        self._room = plan_room(
            manifest.input.raw_bytes,
            max_bytes=max_bytes,
            max_waiting=max_waiting,
            held_out_share=held_out_share,
            class_slots=manifest.classes.capacity,
        )
        self._changed = threading.Condition(threading.RLock())
        try:
            self._file, self._held = self._open()
        except DamagedError as error:
            set_aside(path, _WHAT, error)
            self._file, self._held = self._open()

    @property
    def max_file_bytes(self) -> int:
        """What the files take on the disk at most."""
        return self._room.max_file_bytes

    @property
    def bytes(self) -> int:
        """What the files take on the disk now."""
        with self._changed:
            return self._file.size()

    @property
    def damaged(self) -> int:
        """Number of damaged samples met and dropped since the start."""
        with self._changed:
            return self._held.damaged

    @property
    def waiting(self) -> int:
        """Number of samples that wait for training."""
        with self._changed:
            return self._held.cells.count(Place.WAITING)

    @property
    def counts(self) -> Mapping[int, ClassCounts]:
        """The samples of each class slot that has, or had, any."""
        with self._changed:
            seen = {slot: state.seen for slot, state in self._held.reservoir.states.items()}
            places = (Place.RESERVOIR, Place.HELD_OUT, Place.WAITING)
            held = [self._held.cells.per_slot(place) for place in places]
        return {
            slot: ClassCounts(seen.get(slot, 0), *(one.get(slot, 0) for one in held))
            for slot in sorted(set(seen).union(*held))
        }

    def offer(self, sample: Labelled) -> bool:
        """Store a sample; False if there is no room now: offer it again later.

        An image that the memory holds already, under the same label, is not stored twice. One of
        the held-out share never waits and never trains. Raises ConfigError for pixels or a label
        that do not fit the bundle, StorageError if the disk refuses.
        """
        self._check(sample)
        pixels = np.ascontiguousarray(sample.pixels).tobytes()
        with self._changed:
            self._follow()
            slot = self._slot_of(sample)
            labels = self._held.labels.of_slot(slot)
            ranks = [rank_of(digest_of(pixels, label)) for label in labels]
            if any(map(self._held.cells.holds, ranks)):
                return True
            label = labels[0] if labels else self._held.labels.free(slot)
            digest = digest_of(pixels, label)
            rank = rank_of(digest)
            if self._room.held_out and is_held_out(rank, self._share):
                place, cell = Place.HELD_OUT, self._held_out_cell(slot, rank)
            elif self._held.cells.count(Place.WAITING) < self._room.waiting:
                place, cell = Place.WAITING, self._held.cells.free()
            else:
                return False
            if cell is None:
                return True
            head = Head(self._held.next_number, label, place is Place.HELD_OUT, digest)
            row = None if labels else LabelRow(slot, self._table.by_slot[slot])
            with self._renewing():
                self._file.write(cell, head, pixels, row)
            if row is not None:
                self._held.labels.add(label, row)
            self._held.cells.put(cell, head, place, slot)
            self._held.next_number += 1
            self._changed.notify_all()
            return True

    def is_ready(self, wanted: Wanted) -> bool:
        """Return whether more waiting samples would change nothing about the next batch."""
        with self._changed:
            return is_full(self._held, wanted)

    def wait(self, timeout_s: float, wanted: Wanted) -> bool:
        """Wait until the next batch is as it is wanted; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: is_full(self._held, wanted), timeout_s)

    def next_batch(self, wanted: Wanted, *, at_least: int = 1) -> MixedBatch | None:
        """Return samples to train on; None if fewer than `at_least` fresh ones wait.

        Where rehearsed ones are short, fresh ones take their place. Nothing is taken out before
        `trained`: until then, also after a crash, the batch is the same again, but for samples that
        came since. Raises StorageError.
        """
        with self._changed:
            self._follow()
            while self._held.cells.count(Place.WAITING) >= max(1, at_least):
                cells, fresh = choose(self._held, wanted)
                batch = self._read(cells, fresh)
                if batch is not None:
                    return batch
            return None

    def kept_batch(self, wanted: Wanted, number: int) -> MixedBatch:
        """Return kept samples alone, maybe none; another number, another batch.

        Raises StorageError.
        """
        with self._changed:
            self._follow()
            while True:
                batch = self._read(choose_kept(self._held, wanted, number))
                if batch is not None:
                    return batch

    def trained(self, batch: MixedBatch) -> None:
        """Take a batch's fresh samples out of the waiting room; the reservoir keeps some.

        All or nothing; a batch that was taken out before changes nothing. Raises StorageError.
        """
        with self._changed:
            fresh = self._held.cells.waiting_among(batch.ids[: batch.fresh])
            if not len(fresh):
                return
            old = self._held.progress
            generator = Random(f"{old.seed} {_KEEPING} {old.batches}")
            reservoir = self._held.reservoir.copy()
            left: set[int] = set()
            for cell in fresh.tolist():
                leaving = reservoir.add(int(self._held.cells.slot[cell]), cell, generator)
                left |= {leaving} if leaving is not None else set()
            joined = sorted(set(fresh.tolist()) - left)
            through = int(self._held.cells.number[fresh[-1]])
            progress = Progress(old.seed, old.batches + 1, through)
            with self._renewing():
                self._file.settle(joined, sorted(left), self._news(reservoir), progress)
            self._held.progress, self._held.reservoir = progress, reservoir
            self._held.cells.place[joined] = Place.RESERVOIR
            self._held.cells.place[sorted(left)] = Place.FREE

    def held_out(self, batch_size: int) -> Iterator[tuple[Pixels, SlotArray]]:
        """Yield the held-out samples: (N, size, size, 3) uint8, slots (N,) int64."""
        with self._changed:
            self._follow()
            numbers = self._held.cells.number[self._held.cells.oldest_first(Place.HELD_OUT)]
        for start in range(0, len(numbers), batch_size):
            batch = self._read_held_out(numbers[start : start + batch_size])
            if len(batch.slots):
                yield batch.pixels, batch.slots

    def follow(self) -> None:
        """Move all samples to the slots that their classes have now; wipe those of lost classes.

        Raises StorageError; it is tried again whenever the memory is used, and at its opening.
        """
        with self._changed:
            self._follow()

    def forget(self, slot: int) -> None:
        """Overwrite every sample of a class, and forget its counts.

        What was set aside as damaged is removed. Raises StorageError; do it again then, as after a
        crash.
        """
        with self._changed:
            chosen = np.isin(self._held.cells.slot, (slot, UNKNOWN))
            with self._renewing():
                self._held.wipe(np.flatnonzero(chosen).tolist(), self._file, self._room)
                self._file.forget(slot)
            self._held.reservoir.forget(slot)
            remove_set_aside(self._path)

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        with self._changed:
            self._file.close()

    def _check(self, sample: Labelled) -> None:
        pixels = sample.pixels
        if pixels.dtype != np.uint8 or pixels.shape != self._shape:
            raise ConfigError(
                f"{sample.origin}: pixels must be {self._shape} uint8, "
                f"got {pixels.shape} {pixels.dtype}: resize the image first"
            )

    def _slot_of(self, sample: Labelled) -> int:
        slot = self._table.slot_of(sample.label)
        if slot is None:
            raise ConfigError(
                f"{sample.origin}: {sample.label[:80]!r} is no class of this device now"
            )
        return slot

    def _follow(self) -> None:
        table = self._classes.table
        if table is self._table:
            return
        with self._renewing():
            self._held.follow(table, self._file, self._room)
        self._table = table

    def _held_out_cell(self, slot: int, rank: int) -> int | None:
        """Return where a held-out image goes; None if the share is full and it is the one to go."""
        held = self._held.cells.ranks(Place.HELD_OUT)
        held.setdefault(slot, []).append(rank)
        for _, leaving in surplus(held, self._room.held_out):
            return None if leaving == rank else self._held.cells.find(Place.HELD_OUT, leaving)
        return self._held.cells.free()

    def _read_held_out(self, numbers: npt.NDArray[np.int64]) -> MixedBatch:
        batch = None
        with self._changed:
            while batch is None:
                cells = self._held.cells.oldest_first(Place.HELD_OUT)
                chosen = cells[np.isin(self._held.cells.number[cells], numbers)]
                batch = self._read(chosen.tolist())
        return batch

    def _read(self, cells: Sequence[int], fresh: int = 0) -> MixedBatch | None:
        with self._renewing():
            return read(self._file, self._held, cells, fresh, self._shape[0])

    def _news(self, reservoir: Reservoir) -> dict[int, ClassState]:
        old = self._held.reservoir.states
        return {slot: new for slot, new in reservoir.states.items() if new != old.get(slot)}

    def _open(self) -> tuple[MemoryFile, Contents]:
        share = self._share if self._room.held_out else 0
        exported = self._exported() if self._room.reservoir else ()
        first = first_samples(exported, self._classes.table, share)
        file = open_file(self._path, self._manifest, self._seed, self._classes, first)
        try:
            self._table = self._classes.table
            return file, load(file, self._room, self._table)
        except BaseException:
            file.close()
            raise

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Begin a new memory if the file turns out to be damaged. Raises StorageError."""
        try:
            yield
        except DamagedError as error:
            self._begin_anew(error)
            raise StorageError(f"{error}: the rehearsal memory begins anew") from error

    def _begin_anew(self, damage: DamagedError) -> None:
        with suppress(StorageError):  # of a file that is given up
            self._file.close()
        set_aside(self._path, _WHAT, damage)
        given_up = self._held
        self._file, self._held = self._open()
        # Numbers go on, so that a batch of the old memory takes nothing out of the new one.
        self._held.next_number = max(given_up.next_number, self._held.next_number)
        self._held.damaged = given_up.damaged


def _check_settings(max_bytes: int, max_waiting: int, held_out_share: float) -> None:
    if max_bytes >= 0 and 1 <= max_waiting <= _MOST_WAITING and 0 <= held_out_share <= 0.5:
        return
    raise ConfigError(
        f"rehearsal memory: max_bytes {max_bytes} must be at least 0, max_waiting {max_waiting} "
        f"between 1 and {_MOST_WAITING}, held_out_share {held_out_share} between 0 and 0.5"
    )
