"""Which images of one folder are new: listing it when its time says that something has changed.

inotify would tell at once, but not on network file systems, not what came while the device was off,
and not everything when much comes at once. A folder's time tells of each file that comes or goes,
for one call a second however many lie there. What it does not tell of (a file written anew in its
place, a file system that keeps times coarsely) a full look finds.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hiertk_edge.images import SUFFIXES
from hiertk_edge.sources.watched_files import WatchedFiles

SIDECAR = ".txt"
_SETTLED_AFTER_S = 3.0  # FAT counts in steps of 2 s
_LISTED_PER_S = 5000  # of a folder that changes all the time: some 5 % of a core


@dataclass(frozen=True)
class Rhythm:
    """Seconds between looks; how long a file stands still before it is read; between full looks."""

    look_s: float = 1.0
    settle_s: float = 1.0
    full_look_s: float = 600.0


@dataclass(frozen=True)
class Found:
    """An image file that is not known yet, as it was when it was found."""

    part: "WatchedPart"
    path: Path
    stamp: str

    def has_stood_still(self) -> bool:
        """Return whether the file, and its sidecar, are as they were."""
        return self.part.stamp_of(self.path) == self.stamp


class WatchedPart:
    """PATH itself, where sidecar files name the classes, or one of its subfolders."""

    def __init__(self, path: Path, label: str | None, rhythm: Rhythm, files: WatchedFiles) -> None:
        """Begin without a look. label: the name that all images here have; None: sidecars."""
        self.path = path
        self.label = label
        self.number = files.folder(os.fsencode(path.absolute()))
        self._files = files
        self._rhythm = rhythm
        self._time_ns: int | None = None
        self._changed_at = 0.0
        self._next_listing = 0.0
        self._next_full_look = 0.0
        self._is_due = True

    def is_due(self, now: float) -> bool:
        """Return whether to list it now. Raises OSError. now: of the monotonic clock."""
        time_ns = self.path.stat().st_mtime_ns
        if time_ns != self._time_ns:
            self._time_ns = time_ns
            self._changed_at = now
            self._is_due = True
        return (self._is_due and now >= self._next_listing) or now >= self._next_full_look

    def look_again(self) -> None:
        """List it in the next look: something was not ready."""
        self._is_due = True

    def new_images(self, now: float) -> Iterator[Found]:
        """Yield the images that are new or changed, and forget those that are gone.

        Raises OSError.
        """
        # Compared with this device's own clock: the folder's may be another's, and wrong.
        self._is_due = now < self._changed_at + _SETTLED_AFTER_S
        self._next_full_look = now + self._rhythm.full_look_s
        before = _identity(self.path)
        known_before = self._files.count(self.number)
        entries_seen = known_seen = 0
        with os.scandir(self.path) as entries:
            for entry in entries:
                entries_seen += 1
                if not entry.name.lower().endswith(SUFFIXES) or entry.name.startswith("."):
                    continue
                stamp = self.stamp_of(entry)
                if stamp is None:
                    continue
                known = self._files.known(self.number, os.fsencode(entry.name))
                known_seen += known is not None
                if known is None or known[0] != stamp:
                    yield Found(self, Path(entry.path), stamp)
        self._next_listing = now + entries_seen / _LISTED_PER_S
        # Without a single known file this may be the empty mount point of a stick that is out.
        if 0 < known_seen < known_before:
            self._files.prune(self.number, lambda names: self._gone(names, before))

    def stamp_of(self, image: "Path | os.DirEntry[str]") -> str | None:
        """Return size and time of an image, and of its sidecar; None if one is missing.

        Raises OSError.
        """
        stamp = _stamp(image)
        if stamp is None or self.label is not None:
            return stamp
        sidecar = _stamp(Path(image).with_suffix(SIDECAR))
        return None if sidecar is None else f"{stamp} {sidecar}"

    def _gone(self, names: list[bytes], before: tuple[int, int]) -> list[bytes]:
        folder = os.fsencode(self.path)
        gone = [name for name in names if not _is_there(folder + b"/" + name)]
        return gone if _identity(self.path) == before else []


def _stamp(file: "Path | os.DirEntry[str]") -> str | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return f"{status.st_size} {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


def _is_there(path: bytes) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
