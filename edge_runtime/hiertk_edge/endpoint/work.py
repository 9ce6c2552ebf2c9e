"""What the endpoint does for a request: any thread may call it, and all of it may block."""

import io
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hiertk_protocol.errors import ConfigError, HiertkError, ProtocolError, StorageError
from hiertk_protocol.manifest import InputInfo
from PIL import Image

from hiertk_edge.classes.table import ClassTable
from hiertk_edge.endpoint.recent import RecentPredictions
from hiertk_edge.endpoint.record import EndpointCounts, NamedClasses, RefusedError
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


@dataclass(frozen=True)
class NamedClass:
    """A class that somebody named. is_provisional: the cloud has not given it a slot yet."""

    name: str
    slot: int
    is_provisional: bool


class Work:
    """Stores labelled images, predicts, and takes corrections; counts what it does."""

    def __init__(
        self, intake: Intake, predicts: Predicts, classes: NamedClasses, info: InputInfo
    ) -> None:
        """Begin with nothing predicted and nothing counted."""
        self._classes = classes
        self._intake = intake
        self._predicts = predicts
        self._info = info
        self._recent = RecentPredictions(info.raw_bytes)
        self._posted: Counter[str] = Counter()
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
    def table(self) -> ClassTable:
        """The classes now."""
        return self._classes.table

    @property
    def posted(self) -> Mapping[str, int]:
        """Labelled images that were stored, by the name of their class."""
        with self._counting:
            return self._posted.copy()

    def name(self, name: str) -> NamedClass:
        """Return a class, opened if it is new; naming it again is harmless. Raises RefusedError."""
        try:
            slot = self._classes.name_new(name)
        except (ConfigError, ProtocolError) as error:
            raise RefusedError(422, str(error)) from error
        except StorageError as error:
            raise RefusedError(507, str(error)) from error
        found = self.table.by_slot.get(slot)
        if found is None:  # the class map took it away at this very moment
            raise RefusedError(503, "the classes have just changed: name it again", retry_after_s=1)
        return NamedClass(found.name, slot, found.is_provisional)

    def check_label(self, label: str) -> None:
        """Raise RefusedError for what is no class."""
        table = self.table
        if table.slot_of(label) is None:
            self._count(mislabelled=1)
            raise RefusedError(
                422,
                f"no class is called {label[:80]!r}: there are {_some(table.names)}: name a new "
                "one by POST /classes",
            )

    def store(self, data: bytes, label: str) -> None:
        """Give a labelled image to the intake. Raises RefusedError."""
        self._offer(Labelled(self.decode(data), label, "the HTTP endpoint"))

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
        self.check_label(label)
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
                self._offer(Labelled(predicted.pixels, label, f"correction of {prediction}"))
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
        except ConfigError as error:  # its class was retired while it was on its way
            raise RefusedError(422, str(error)) from error
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
            self._posted[sample.label] += 1

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
