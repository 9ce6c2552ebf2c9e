"""How many samples a number of bytes holds, from the layout of SQLite's file.

https://www.sqlite.org/fileformat2.html, sections 1.6 and 2.1.
"""

from bisect import bisect_right
from dataclasses import dataclass

PAGE_BYTES = 4096
HEAD_BYTES = 32
MOST_SAMPLES = 1 << 20
WAL_PAGES = 256  # from so many on, SQLite moves the write-ahead log into the file
_FRAME_BYTES = PAGE_BYTES + 24
_SHARED_MEMORY_BYTES = 32 << 10
_MAX_LOCAL = PAGE_BYTES - 35
_MIN_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_FEWEST_CHILDREN = 100
_SMALL_ROW_BYTES = 40  # of the tables `kept` and `classes`, in pages that are a third full
_LABEL_ROWS = 3  # of that size, for a class of a usual name in `labels`
_FIXED_PAGES = 11  # the schema, owner, progress, and the roots of the other tables


@dataclass(frozen=True)
class Room:
    """How many samples of each kind there is room for, and what the files take at most.

    wipe_at_once: samples that one transaction may overwrite without the log outgrowing its bound.
    """

    reservoir: int
    held_out: int
    waiting: int
    max_file_bytes: int
    wipe_at_once: int

    @property
    def samples(self) -> int:
        """All kinds together."""
        return self.reservoir + self.held_out + self.waiting


def plan_room(
    sample_bytes: int, *, max_bytes: int, max_waiting: int, held_out_share: float, class_slots: int
) -> Room:
    """Divide up the bytes. max_bytes: for reservoir and held-out share; the others come on top."""
    small = _FIXED_PAGES + _pages_of_rows((1 + _LABEL_ROWS) * class_slots)
    kept = _fitting(sample_bytes, max_bytes // PAGE_BYTES - small)
    held_out = round(kept * held_out_share)
    pages = small + _pages_of(kept + max_waiting, sample_bytes)
    per_sample = 1 + _overflow_pages(sample_bytes)
    log_frames = 2 * WAL_PAGES + small + per_sample + _pages_of_rows(kept)
    return Room(
        reservoir=kept - held_out,
        held_out=held_out,
        waiting=max_waiting,
        max_file_bytes=pages * PAGE_BYTES + log_frames * _FRAME_BYTES + _SHARED_MEMORY_BYTES,
        wipe_at_once=max(1, WAL_PAGES // per_sample),
    )


def _fitting(sample_bytes: int, pages: int) -> int:
    most = min(max(0, pages) * PAGE_BYTES // sample_bytes, MOST_SAMPLES // 2)
    return bisect_right(range(1, most + 1), pages, key=lambda n: _pages_of(n, sample_bytes))


def _pages_of(samples: int, sample_bytes: int) -> int:
    payload = _payload_bytes(sample_bytes)
    overflow = _overflow_pages(sample_bytes)
    local = payload - overflow * (PAGE_BYTES - 4) if overflow else payload
    if overflow:
        local = max(local, _MIN_LOCAL) + 4
    row = local + _varint_bytes(payload) + 3 + 2  # a key below 2 million, the cell's place
    leaves = -(-samples // ((PAGE_BYTES - 8) // row))
    inner = leaves // _FEWEST_CHILDREN + 2 if leaves > 1 else 0
    return leaves + inner + samples * overflow + _pages_of_rows(samples)


def _overflow_pages(sample_bytes: int) -> int:
    payload = _payload_bytes(sample_bytes)
    if payload <= _MAX_LOCAL:
        return 0
    local = _MIN_LOCAL + (payload - _MIN_LOCAL) % (PAGE_BYTES - 4)
    if local > _MAX_LOCAL:
        local = _MIN_LOCAL
    return -(-(payload - local) // (PAGE_BYTES - 4))


def _payload_bytes(sample_bytes: int) -> int:
    types = 1 + 1 + _varint_bytes(12 + 2 * sample_bytes)  # key, head, pixels
    return 1 + types + HEAD_BYTES + sample_bytes


def _varint_bytes(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))


def _pages_of_rows(rows: int) -> int:
    return -(-rows * _SMALL_ROW_BYTES // PAGE_BYTES)
