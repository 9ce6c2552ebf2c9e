"""Which samples are held out: chosen by their content, so that no order of arrival changes it."""

import hashlib
from collections.abc import Mapping, Sequence

DIGEST_BYTES = 16
_RANKS = 1 << 64


def digest_of(pixels: bytes, label: int) -> bytes:
    """Return what tells a labelled image from others: the head of a sha256."""
    return hashlib.sha256(label.to_bytes(4, "little") + pixels).digest()[:DIGEST_BYTES]


def rank_of(digest: bytes) -> int:
    """Return the image's place among all images, uniform in 64 bits: the lowest are held out."""
    return int.from_bytes(digest[:8], "big")


def is_held_out(rank: int, share: float) -> bool:
    """Return whether an image is one of those that never train."""
    return rank < share * _RANKS


def surplus(held: Mapping[int, Sequence[int]], capacity: int) -> list[tuple[int, int]]:
    """Return (slot, rank) of the samples that are too many.

    held: the ranks of each class. The largest class gives up its highest rank, one after another.
    """
    left = {slot: sorted(ranks) for slot, ranks in held.items() if ranks}
    gone = []
    for _ in range(sum(map(len, left.values())) - capacity):
        largest = max(left, key=lambda slot: (len(left[slot]), left[slot][-1:]))
        gone.append((largest, left[largest].pop()))
    return gone
