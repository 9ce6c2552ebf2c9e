"""What the endpoint does for a request: any thread may call it, and all of it may block."""

import io
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hiertk_protocol.errors import ConfigError, HiertkError, StorageError
from hiertk_protocol.manifest import InputInfo
from PIL import Image

from hiertk_edge.endpoint.recent import RecentPredictions
from hiertk_edge.endpoint.record import EndpointCounts, RefusedError
from hiertk_edge.images import FORMATS, Pixels, read_image_bytes, resize
from hiertk_edge.prediction.record import Answer, Predicts
from hiertk_edge.sources.record import Intake, Labelled

MAX_PIXELS = 4 << 20  # 12 MiB while it is decoded: the device has little memory
RETRY_S = 2
_SHOWN_CLASSES = 40


@dataclass(frozen=True)
class Prediction:
    """An answer that can be corrected by its id. seconds: how long it took."""

    id: str
    answer: Answer
    seconds: float


class Work:
    """Stores labelled images, predicts, and takes corrections; counts what it does."""

    def __init__(
        self, intake: Intake, predicts: Predicts, class_names: Sequence[str], info: InputInfo
    ) -> None:
        """Begin with nothing predicted and nothing counted."""
        self.class_names = tuple(class_names)
        self._intake = intake
        self._predicts = predicts
        self._info = info
        self._recent = RecentPredictions(info.raw_bytes)
        self._slots = {name: slot for slot, name in enumerate(class_names)}
        self._posted = [0] * len(class_names)
        self._counts = EndpointCounts()
        self._counting = threading.Lock()
        self._decoding = threading.Lock()
        self._correcting = threading.Lock()

    @property
    def counts(self) -> EndpointCounts:
        """What became of the requests so far."""
        with self._counting:
            return self._counts

    @property
    def posted(self) -> tuple[int, ...]:
        """Labelled images that were stored, by slot."""
        with self._counting:
            return tuple(self._posted)

    def slot_of(self, label: str) -> int:
        """Return a class's slot. Raises RefusedError for what is no class."""
        slot = self._slots.get(label)
        if slot is None:
            self._count(mislabelled=1)
            raise RefusedError(
                422, f"no class is called {label[:80]!r}: this bundle has {_some(self.class_names)}"
            )
        return slot

    def store(self, data: bytes, slot: int) -> None:
        """Give a labelled image to the intake. Raises RefusedError."""
        self._offer(Labelled(self.decode(data), slot, "the HTTP endpoint"))

    def decode(self, data: bytes) -> Pixels:
        """Return an image file's pixels, resized. Raises RefusedError."""
        with self._decoding:  # one at a time, for the memory
            try:
                _refuse_large(data)
                return resize(read_image_bytes(data, "the body"), self._info)
            except RefusedError:
                self._count(bad=1)
                raise
            except ConfigError as error:
                self._count(bad=1)
                raise RefusedError(422, str(error)) from error

    def predict(self, pixels: Pixels) -> Prediction:
        """Answer for an image, and keep it so that the answer can be corrected.

        Raises RefusedError if nothing can answer.
        """
        started = time.perf_counter()
        try:
            answer = self._predicts.predict(pixels)
        except HiertkError as error:
            raise RefusedError(503, str(error), retry_after_s=RETRY_S) from error
        seconds = time.perf_counter() - started
        self._count(predictions=1)
        return Prediction(self._recent.add(pixels, answer.scores.best), answer, seconds)

    def correct(self, prediction: str, label: str) -> bool:
        """Give a prediction's image to the intake as `label`; return whether it had said so.

        The same correction again stores nothing. Raises RefusedError.
        """
        slot = self.slot_of(label)
        with self._correcting:
            predicted = self._recent.find(prediction)
            if predicted is None:
                raise RefusedError(
                    404,
                    f"no prediction {prediction[:80]!r} is kept: only the newest "
                    f"{self._recent.capacity} are: correct one soon after it was made",
                )
            is_right = predicted.said == label
            if predicted.label != label:
                self._offer(Labelled(predicted.pixels, slot, f"correction of {prediction}"))
                self._recent.label(prediction, label)
                self._count(
                    corrections=predicted.label is None,
                    right=is_right - (predicted.label == predicted.said),
                )
            return is_right

    def _offer(self, sample: Labelled) -> None:
        try:
            has_room = self._intake.offer(sample)
        except StorageError as error:
            raise RefusedError(507, str(error)) from error
        if not has_room:
            self._count(refused=1)
            raise RefusedError(
                503,
                "the device has no room for more labelled images until it has trained on those "
                f"that wait: send this one again in {RETRY_S} s",
                retry_after_s=RETRY_S,
            )
        self._count(taken=1)
        with self._counting:
            self._posted[sample.slot] += 1

    def _count(self, **more: int) -> None:
        with self._counting:
            grown = {name: getattr(self._counts, name) + by for name, by in more.items()}
            self._counts = replace(self._counts, **grown)


def _refuse_large(data: bytes) -> None:
    """Raise RefusedError by what an image's header says."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedError(413, _too_large("this many pixels")) from error
    except Exception as error:  # Pillow's parsers raise whatever they trip over
        raise RefusedError(
            422, "the body is no image: send an intact PNG, JPEG, BMP or WEBP"
        ) from error
    if width * height > MAX_PIXELS:
        raise RefusedError(413, _too_large(f"{width}x{height} pixels"))


def _too_large(what: str) -> str:
    return (
        f"an image of {what} is too large for this device: make it smaller than "
        f"{MAX_PIXELS >> 20} Mpx before it is sent"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_CLASSES])
    more = len(names) - _SHOWN_CLASSES
    return shown if more <= 0 else f"{shown} and {more} more"
