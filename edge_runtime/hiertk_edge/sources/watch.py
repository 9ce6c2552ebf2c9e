"""`watch:PATH`: a stream of the images that are put into a folder.

The class is the subfolder's name; for an image in PATH itself it stands in a sidecar file beside it
(cup7.jpg, cup7.txt). Files may come one by one or all at once, be written slowly, and PATH may
vanish and come back: each file is taken once, at the pace at which the intake takes images. Only a
power cut, or a process killed, within a second of taking a file may have it taken twice.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from hiertk_protocol.errors import StorageError
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.sources.record import Intake, Labels, StreamCounts
from hiertk_edge.sources.stream_thread import Backoff, Giver, StreamThread
from hiertk_edge.sources.watched_files import WatchedFiles
from hiertk_edge.sources.watched_folder import Found, Rhythm, WatchedPart
from hiertk_edge.sources.watched_images import WatchedImages

_AT_ONCE = 256
_OPEN_FOLDERS = 32
_UNKNOWN_FOLDERS = 100
_LONGEST_WAIT_S = 30.0


class WatchedFolder:
    """The stream of a watched folder."""

    def __init__(
        self,
        path: Path,
        labels: Labels,
        info: InputInfo,
        *,
        memory: Path,
        problems: Problems,
        deletes: bool = False,
        rhythm: Rhythm | None = None,
    ) -> None:
        """Open the memory of files. deletes: a file is deleted once the intake took it.

        Raises StorageError.
        """
        self._path = path
        self._labels = labels
        self._names = labels.names
        self._rhythm = rhythm or Rhythm()
        self._problems = problems
        self._kind = f"watch:{path}"
        self._files = WatchedFiles(memory)
        self._images = WatchedImages(
            self._kind, labels, info, self._files, problems, deletes=deletes
        )
        self._root = WatchedPart(path, None, self._rhythm, self._files)
        self._subfolders: dict[str, WatchedPart] = {}
        self._is_in_trouble = False
        self._thread = StreamThread("watch")

    @property
    def counts(self) -> StreamCounts:
        """What became of the images since the start."""
        return self._images.counts

    def start(self, intake: Intake) -> None:
        """Begin to look and to push; return at once."""
        self._giver = Giver(self._kind, intake, self._problems)
        self._thread.start(self._work)

    def stop(self) -> None:
        """End the thread. Raises StorageError if what was taken cannot be noted."""
        if self._thread.stop():
            self._files.close()

    def _work(self) -> None:
        backoff = Backoff(self._rhythm.look_s, max(self._rhythm.look_s, _LONGEST_WAIT_S))
        while not self._thread.is_stopping:
            self._thread.wait(self._look_or_tell(backoff))

    def _look_or_tell(self, backoff: Backoff) -> float:
        """Look once, and return how long to wait for the next time."""
        try:
            self._files.check()
            self._look()
            if self._is_in_trouble:
                self._recover()
        except (OSError, StorageError) as error:
            self._is_in_trouble = True
            self._problems.begin(self._kind, self._trouble(error))
            return backoff.next_s()
        backoff.reset()
        return self._rhythm.look_s

    def _recover(self) -> None:
        self._is_in_trouble = False
        self._problems.end(self._kind, f"{self._path}: watched again")
        # A disk that was going may have refused files, and comes back with the same times.
        self._files.forget_unreadable()
        for part in (self._root, *self._subfolders.values()):
            part.look_again()

    def _trouble(self, error: OSError | StorageError) -> str:
        if isinstance(error, StorageError):
            return str(error)
        place = os.fsdecode(error.filename or self._path)
        return (
            f"{place}: {error.strerror}: what lies there waits: bring it back or make it readable"
        )

    def _look(self) -> None:
        """Take what is new in the folders that changed. Raises OSError or StorageError."""
        self._notice_names()
        now = time.monotonic()
        errors: list[OSError] = []
        due = self._due_parts(now, errors)
        is_complete = False
        try:
            self._take_all(_in_turn(_collecting(part.new_images(now), errors) for part in due))
            is_complete = not errors
        finally:
            if not is_complete:
                for part in due:
                    part.look_again()
            self._files.save()
        if due:
            self._images.end_mislabelled([self._root, *self._subfolders.values()])
        if errors:
            raise errors[0]

    def _notice_names(self) -> None:
        """Look again at images of no class if there are other classes now."""
        names = self._labels.names
        if names != self._names:
            self._names = names
            self._files.forget_mislabelled()
            for part in (self._root, *self._subfolders.values()):
                part.look_again()

    def _due_parts(self, now: float, errors: list[OSError]) -> list[WatchedPart]:
        due = []
        if self._root.is_due(now):
            due.append(self._root)
            self._list_subfolders()
        due += [part for part in self._subfolders.values() if self._is_due(part, now, errors)]
        return due

    def _is_due(self, part: WatchedPart, now: float, errors: list[OSError]) -> bool:
        try:
            return part.is_due(now)
        except FileNotFoundError:
            self._root.look_again()
        except OSError as error:
            errors.append(error)
        return False

    def _list_subfolders(self) -> None:
        known: set[str] = set()
        unknown: set[str] = set()
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.is_dir() and not entry.name.startswith("."):
                    if self._labels.slot_of(entry.name) is not None:
                        known.add(entry.name)
                    elif len(unknown) < _UNKNOWN_FOLDERS:
                        unknown.add(entry.name)
        for name in self._subfolders.keys() - known - unknown:
            part = self._subfolders.pop(name)
            if self._labels.slot_of(name) is None:
                self._files.forget(part.number)
        for name in sorted((known | unknown) - self._subfolders.keys()):
            self._subfolders[name] = WatchedPart(self._path / name, name, self._rhythm, self._files)

    def _take_all(self, found: Iterator[Found]) -> None:
        # Some at a time, so that however many there are, memory does not grow.
        while chunk := list(islice(found, _AT_ONCE)):
            self._thread.wait(self._rhythm.settle_s)
            for one in chunk:
                if self._thread.is_stopping:
                    return
                if one.has_stood_still():
                    self._images.take(one, self._giver, self._thread)
                else:
                    one.part.look_again()


def _collecting(found: Iterator[Found], errors: list[OSError]) -> Iterator[Found]:
    """Yield until a folder fails, so that the others go on."""
    try:
        yield from found
    except OSError as error:
        errors.append(error)


def _in_turn(folders: Iterable[Iterator[Found]]) -> Iterator[Found]:
    """Yield one of each in turn, so that a flood of one class does not hold up the others."""
    waiting = iter(folders)
    taking = deque(islice(waiting, _OPEN_FOLDERS))
    while taking:
        one = taking.popleft()
        try:
            found = next(one)
        except StopIteration:
            taking.extend(islice(waiting, 1))
        else:
            taking.append(one)
            yield found
