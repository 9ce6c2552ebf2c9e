"""Temperature scaling: so that of all answers given with 80 % confidence, some 80 % are right.

Trained networks are surer of themselves than they are right. Dividing the logits by one
temperature, fitted on held-out samples, mends most of it and changes no answer.
Source: Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hiertk_edge.learner import Float32Array, SlotArray

MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 20.0
MIN_SAMPLES = 50
_BINS = 15
_HALVINGS = 40  # of the logarithm of the temperature: to the last digit of float32

Probabilities = npt.NDArray[np.float64]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Calibration:
    """What the early exit's logits are divided by, and what that did.

    samples: held-out ones that it was fitted on; 0 where there were too few. error_before,
    error_after: their expected calibration error, None where nothing was fitted.
    """

    temperature: Annotated[float, Field(ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)] = 1.0
    samples: Annotated[int, Field(ge=0)] = 0
    error_before: Share | None = None
    error_after: Share | None = None


NOT_CALIBRATED = Calibration()


def calibrate(logits: Float32Array, labels: SlotArray) -> Calibration:
    """Fit the temperature on held-out logits (N, slots) and labels (N,), as `fit_temperature`."""
    if not _say_enough(logits, labels):
        return NOT_CALIBRATED
    temperature = fit_temperature(logits, labels)
    before, after = (
        expected_calibration_error(softmax(logits, one), labels) for one in (1.0, temperature)
    )
    return Calibration(temperature, len(labels), before, after)


def fit_temperature(logits: Float32Array, labels: SlotArray) -> float:
    """Return the temperature that minimizes the mean cross entropy, between 0.05 and 20.

    logits: (N, slots) float32, closed slots included or not. labels: (N,) int64. 1 for fewer than
    50 samples, samples of one class only, or logits that are not finite: they say too little.

    The cross entropy is convex in the inverse of the temperature, so its slope changes its sign
    once, and halving the interval finds where.
    """
    if not _say_enough(logits, labels):
        return 1.0
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _slope(logits, labels, math.exp(middle)) > 0:
            low = middle
        else:
            high = middle
    return min(max(math.exp((low + high) / 2), MIN_TEMPERATURE), MAX_TEMPERATURE)


def expected_calibration_error(probabilities: Probabilities, labels: SlotArray) -> float:
    """Return the mean gap between confidence and accuracy over 15 bins of confidence.

    probabilities: (N, slots); labels: (N,). A share of 1.
    """
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, weights=confidence - is_right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def softmax(logits: Float32Array, temperature: float) -> Probabilities:
    """Return the probabilities (N, slots) of logits at a temperature; closed slots have 0."""
    scaled: Probabilities = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    raised = np.exp(scaled, out=scaled)
    raised /= raised.sum(axis=1, keepdims=True)
    return raised


def _slope(logits: Float32Array, labels: SlotArray, temperature: float) -> float:
    """Return the slope of the mean cross entropy along the inverse temperature."""
    expected = (softmax(logits, temperature) * logits).sum(axis=1)
    return float((expected - logits[np.arange(len(labels)), labels]).mean())


def _say_enough(logits: Float32Array, labels: SlotArray) -> bool:
    if len(labels) < MIN_SAMPLES or int(labels.min()) == int(labels.max()):
        return False
    return bool(np.isfinite(logits).all())
