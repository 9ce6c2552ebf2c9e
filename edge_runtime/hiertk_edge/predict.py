"""Predicting with the early exit alone, as a device does while its link is down."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hiertk_protocol.manifest import Manifest

from hiertk_edge.images import Float32Array, preprocess, read_image
from hiertk_edge.learner import Learner


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, best first, with their probabilities."""

    image: Path
    classes: tuple[tuple[str, float], ...]


def predict(
    learner: Learner, manifest: Manifest, images: Sequence[Path], *, top: int
) -> list[Prediction]:
    """Predict image by image. Raises ConfigError for one that cannot be read."""
    names = manifest.classes.names
    predictions = []
    for path in images:
        pixels = preprocess(read_image(path), manifest.input)[None]
        logits = learner.evaluate(pixels, np.zeros(1, np.int64)).logits[0, : len(names)]
        probabilities = _softmax(logits)
        best = np.argsort(-probabilities, kind="stable")[:top].tolist()
        classes = tuple((names[slot], float(probabilities[slot])) for slot in best)
        predictions.append(Prediction(path, classes))
    return predictions


def _softmax(logits: Float32Array) -> Float32Array:
    raised: Float32Array = np.exp(logits - logits.max())
    raised /= raised.sum()
    return raised
