"""Predicting image files with the early exit alone, as a device does while its link is down."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.manifest import Manifest

from hiertk_edge.images import read_image, resize
from hiertk_edge.learner import Learner
from hiertk_edge.prediction.calibration import NOT_CALIBRATED, Calibration
from hiertk_edge.prediction.predictor import Predictor
from hiertk_edge.turns import Turns


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
) -> list[Prediction]:
    """Predict image by image. Raises ConfigError for one that cannot be read."""
    predictor = Predictor(learner, manifest, Turns(), calibration=calibration)
    predictions = []
    for path in images:
        answer = predictor.predict(resize(read_image(path), manifest.input))
        predictions.append(Prediction(path, answer.scores.classes[:top]))
    return predictions
