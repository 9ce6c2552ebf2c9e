"""Predicting image files with the early exit alone, as a device does while its link is down."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.class_map import ClassMap, ClassSlot
from hiertk_protocol.manifest import Manifest

from hiertk_edge.classes import ClassInSlot, ClassTable
from hiertk_edge.images import read_image, resize
from hiertk_edge.learner import Learner
from hiertk_edge.prediction.calibration import NOT_CALIBRATED, Calibration
from hiertk_edge.prediction.predictor import Predictor
from hiertk_edge.training.turns import Turns


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, best first, with their probabilities."""

    image: Path
    classes: tuple[tuple[str, float], ...]


def predict(
    learner: Learner,
    manifest: Manifest,
    images: Sequence[Path],
    *,
    top: int,
    calibration: Calibration = NOT_CALIBRATED,
    known: Mapping[int, ClassInSlot] | None = None,
) -> list[Prediction]:
    """Predict image by image. Raises ConfigError for one that cannot be read.

    known: what the learner's open slots stand for; None: the classes of the export.
    """
    classes = None if known is None else _KeptClasses(known, manifest.classes.capacity)
    predictor = Predictor(learner, manifest, Turns(), calibration=calibration, classes=classes)
    predictions = []
    for path in images:
        answer = predictor.predict(resize(read_image(path), manifest.input))
        predictions.append(Prediction(path, answer.scores.classes[:top]))
    return predictions


class _KeptClasses:
    """The classes of a checkpoint, as they were when it was written."""

    def __init__(self, known: Mapping[int, ClassInSlot], capacity: int) -> None:
        newest = max((one.since for one in known.values()), default=1)
        slots = tuple(ClassSlot(slot, one.name, one.since) for slot, one in sorted(known.items()))
        self.table = ClassTable(ClassMap(newest, slots), {}, capacity)

    def adopt(self, known: Iterable[ClassInSlot]) -> None:
        """Do nothing: there is no device that could take a class up."""
