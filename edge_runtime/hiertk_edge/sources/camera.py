"""`camera:...`: a stream of labelled frames, and the newest frame for predictions.

A camera gives frames whether anybody wants them or not. They are passed over but for one each
`every_s`, which is the newest frame, and goes to the intake while its class is known: always with
a label in the source's text, else for as many frames as somebody teaches.
"""

import math
import threading
import time
from dataclasses import dataclass, replace

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.images import Pixels, resize
from hiertk_edge.sources.capture import Capture, check_library, is_file, open_capture
from hiertk_edge.sources.record import Intake, Labelled, StreamCounts
from hiertk_edge.sources.stream_thread import Backoff, Giver, StreamThread

MAX_TAUGHT = 1000
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Frame:
    """A frame's pixels (size, size, 3) uint8 RGB, and how many seconds ago it was taken."""

    pixels: Pixels
    age_s: float


class Camera:
    """The stream of a camera, a video file or a URL."""

    def __init__(
        self,
        place: str,
        info: InputInfo,
        *,
        problems: Problems,
        every_s: float = 0.5,
        label: str | None = None,
    ) -> None:
        """Prepare; start() opens it. label: the class of all frames, None: what is taught.

        Raises ConfigError if the library that opens it is not installed.
        """
        check_library(place)
        self._place = place
        self._name = f"camera:{without_secret(place)}"
        self._info = info
        self._problems = problems
        self._every_s = every_s
        self._label = label
        self._lock = threading.Lock()
        self._newest: tuple[Pixels, float] | None = None
        self._taught: tuple[str, int] | None = None
        self._counts = StreamCounts()
        self._thread = StreamThread("camera")

    @property
    def counts(self) -> StreamCounts:
        """What became of the frames that were to be learned."""
        return self._counts

    def newest(self) -> Frame | None:
        """Return the newest frame; None before the first. Any thread may call it."""
        with self._lock:
            if self._newest is None:
                return None
            pixels, taken_at = self._newest
        return Frame(pixels, time.monotonic() - taken_at)

    def teach(self, label: str, frames: int) -> int:
        """Give the next frames to the intake as this class; return how many it will be.

        A second call replaces the first. Any thread may call it. Raises ConfigError unless there
        are 1 to 1000 frames.
        """
        if not 1 <= frames <= MAX_TAUGHT:
            raise ConfigError(f"{frames} frames to teach: name 1 to {MAX_TAUGHT}")
        with self._lock:
            self._taught = (label, frames)
        return frames

    def start(self, intake: Intake) -> None:
        """Begin to look and to push; return at once."""
        self._giver = Giver(self._name, intake, self._problems)
        self._thread.start(self._work)

    def stop(self) -> None:
        """End the thread."""
        self._thread.stop()

    def _work(self) -> None:
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while not self._thread.is_stopping:
            capture = open_capture(self._place)
            has_frames = capture is not None and self._watch(capture)
            if self._thread.is_stopping:
                return
            if has_frames and is_file(self._place):
                self._problems.begin(self._name, f"{self._name}: the video is over")
                return
            self._problems.begin(
                self._name,
                f"{self._name}: no frames: connect it or end what else uses it, trying again",
            )
            if has_frames:
                backoff.reset()
            self._thread.wait(backoff.next_s())

    def _watch(self, capture: Capture) -> bool:
        """Go through the frames until there are no more; return whether there was one."""
        has_frames = False
        due = -math.inf
        try:
            while not self._thread.is_stopping and capture.advance():
                if not has_frames:
                    has_frames = True
                    self._problems.end(self._name, f"{self._name}: there are frames again")
                now = time.monotonic()
                if now >= due:
                    due = now + self._every_s
                    self._look_at(capture)
                self._thread.wait(capture.seconds_per_frame)
        finally:
            capture.close()
        return has_frames

    def _look_at(self, capture: Capture) -> None:
        image = capture.image()
        if image is None:
            self._counts = replace(self._counts, bad=self._counts.bad + 1)
            return
        pixels = resize(image, self._info)
        with self._lock:
            self._newest = (pixels, time.monotonic())
        label = self._label_of_next()
        if label is not None:
            self._give(Labelled(pixels, label, self._name))

    def _label_of_next(self) -> str | None:
        """Return the class of the next frame, and count it off what is taught."""
        with self._lock:
            if self._taught is None:
                return self._label
            label, frames = self._taught
            self._taught = (label, frames - 1) if frames > 1 else None
            return label

    def _give(self, sample: Labelled) -> None:
        if is_file(self._place):
            # A video waits. What a camera shows must not: a class taught now is not there later.
            is_taken = self._giver.give(sample, self._thread)
        else:
            is_taken = self._giver.try_once(sample)
        if is_taken:
            self._counts = replace(self._counts, taken=self._counts.taken + 1)
        else:
            self._counts = replace(self._counts, dropped=self._counts.dropped + 1)


def without_secret(place: str) -> str:
    """Return a URL without user and password, and without its query."""
    scheme, separator, rest = place.partition("://")
    if not separator:
        return place
    address, slash, path = rest.partition("/")
    return f"{scheme}://{address.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
