"""What becomes of one image of a watched folder: read, labelled, given to the intake, noted."""

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.images import read_file, read_image_bytes, resize
from hiertk_edge.sources.listing import some
from hiertk_edge.sources.record import Labelled, Labels, StreamCounts
from hiertk_edge.sources.skipped import Skipped
from hiertk_edge.sources.stream_thread import Giver, StreamThread
from hiertk_edge.sources.watched_files import Outcome, WatchedFiles
from hiertk_edge.sources.watched_folder import SIDECAR, Found, WatchedPart

MAX_SIDECAR = 200
_SAVE_EVERY_S = 1.0
_log = logging.getLogger(__name__)


class WatchedImages:
    """Takes found images one by one, and counts them."""

    def __init__(
        self,
        kind: str,
        labels: Labels,
        info: InputInfo,
        files: WatchedFiles,
        problems: Problems,
        *,
        deletes: bool,
    ) -> None:
        self.counts = StreamCounts()
        self._kind = kind
        self._labels = labels
        self._info = info
        self._files = files
        self._problems = problems
        self._deletes = deletes
        self._skipped = Skipped("unreadable images", _log)
        self._saved_at = time.monotonic()

    def take(self, found: Found, giver: Giver, thread: StreamThread) -> None:
        """Give an image to the intake once it takes it, or note why not.

        Raises OSError if the folder fails, StorageError if what became of it cannot be noted.
        """
        try:
            sample = self._read(found)
        except OSError as error:
            self._leave(found, "unreadable", f"{found.path}: {error.strerror}: make it readable")
        except ConfigError as error:
            self._leave(found, "bad", str(error))
        else:
            if sample is None:
                self._note(found, "mislabelled")
            elif self._give(sample, giver, thread):
                self._note(found, "taken")

    def _leave(self, found: Found, outcome: Outcome, reason: str) -> None:
        # If it is the folder that is gone, this raises OSError, and the file is not to blame.
        if found.has_stood_still():
            self._skipped.note(reason)
            self._note(found, outcome)
        else:
            found.part.look_again()

    def _read(self, found: Found) -> Labelled | None:
        label = self._label_of(found)
        if label is None:
            return None
        image = read_image_bytes(read_file(found.path), str(found.path))
        return Labelled(resize(image, self._info), label, str(found.path))

    def _label_of(self, found: Found) -> str | None:
        """Return the name of the image's class; None if it is none, which is told."""
        label = found.part.label
        if label is None:
            label = _read_label(found.path.with_suffix(SIDECAR))
        if self._labels.take(label) is not None:
            return label
        self._problems.begin(
            f"{self._kind} labels",
            f"{found.path}: {label[:MAX_SIDECAR]!r} is no class: there are "
            f"{some(self._labels.names)}: rename the folder, or correct the sidecar",
        )
        return None

    def _give(self, sample: Labelled, giver: Giver, thread: StreamThread) -> bool:
        if giver.try_once(sample):
            return True
        self._files.save()  # the wait may be long
        return giver.give(sample, thread)

    def _note(self, found: Found, outcome: Outcome) -> None:
        self._count(outcome)
        if outcome == "taken" and self._deletes and self._delete(found):
            return
        name = os.fsencode(found.path.name)
        self._files.remember(found.part.number, name, found.stamp, outcome)
        if time.monotonic() >= self._saved_at + _SAVE_EVERY_S:
            self._files.save()
            self._saved_at = time.monotonic()

    def _count(self, outcome: Outcome) -> None:
        counts = self.counts
        if outcome == "taken":
            self.counts = replace(counts, taken=counts.taken + 1)
        elif outcome == "mislabelled":
            self.counts = replace(counts, mislabelled=counts.mislabelled + 1)
        else:
            self.counts = replace(counts, bad=counts.bad + 1)

    def _delete(self, found: Found) -> bool:
        kind = f"{self._kind} delete"
        try:
            found.path.unlink(missing_ok=True)
            if found.part.label is None:
                found.path.with_suffix(SIDECAR).unlink(missing_ok=True)
        except OSError as error:
            self._problems.begin(
                kind, f"{found.path}: {error.strerror}: taken but not deleted: make it writable"
            )
            return False
        self._problems.end(kind, f"{self._kind}: what is taken is deleted again")
        return True

    def end_mislabelled(self, parts: Iterable[WatchedPart]) -> None:
        """End the problem of wrong labels if no image has one any more."""
        if not any(self._files.has_mislabelled(part.number) for part in parts):
            self._problems.end(f"{self._kind} labels", f"{self._kind}: all labels are classes")


def _read_label(sidecar: Path) -> str:
    with sidecar.open("rb") as file:
        data = file.read(MAX_SIDECAR + 1)
    text = data.decode("utf-8-sig", errors="replace").strip()
    return text if len(data) <= MAX_SIDECAR else f"{text}..."
