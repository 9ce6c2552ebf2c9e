"""Temperature scaling, against logits whose right temperature is known."""

import numpy as np
import pytest
from hiertk_edge.learner import Float32Array, SlotArray
from hiertk_edge.prediction.calibration import (
    MAX_TEMPERATURE,
    MIN_SAMPLES,
    MIN_TEMPERATURE,
    NOT_CALIBRATED,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    softmax,
)
from hiertk_protocol.manifest import CLOSED_SLOT_BIAS
from hypothesis import given, settings
from hypothesis import strategies as st


def honest(samples: int, *, classes: int = 5, seed: int = 0) -> tuple[Float32Array, SlotArray]:
    """Logits, and labels drawn from just the probabilities that they stand for."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (samples, classes)).astype(np.float32)
    labels = [generator.choice(classes, p=row) for row in softmax(logits, 1.0)]
    return logits, np.array(labels, np.int64)


def cross_entropy(logits: Float32Array, labels: SlotArray, temperature: float) -> float:
    right = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(right + 1e-300).mean())


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_logits_made_too_large_or_too_small_get_their_factor_back(factor: float) -> None:
    logits, labels = honest(4000)
    found = fit_temperature(logits * np.float32(factor), labels)
    assert found == pytest.approx(factor, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(0.1, 10))
def test_no_other_temperature_has_less_cross_entropy(seed: int, factor: float) -> None:
    logits, labels = honest(100, seed=seed)
    logits *= np.float32(factor)
    least = cross_entropy(logits, labels, fit_temperature(logits, labels))
    for other in np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 60):
        assert least <= cross_entropy(logits, labels, float(other)) + 1e-9


def test_an_overconfident_exit_is_calibrated_and_answers_the_same() -> None:
    logits, labels = honest(4000)
    logits *= 4
    found = calibrate(logits, labels)
    assert found.samples == 4000
    assert found.error_before is not None
    assert found.error_after is not None
    assert found.error_before > 0.2
    assert found.error_after < 0.03
    after = softmax(logits, found.temperature)
    assert np.array_equal(after.argmax(axis=1), logits.argmax(axis=1))


def test_closed_slots_change_nothing_and_get_nothing() -> None:
    logits, labels = honest(200)
    with_closed = np.concatenate(
        [logits, np.full((200, 3), CLOSED_SLOT_BIAS, np.float32) + logits[:, :3]], axis=1
    )
    temperature = fit_temperature(with_closed, labels)
    assert temperature == pytest.approx(fit_temperature(logits, labels), rel=1e-9)
    for temperature in (MIN_TEMPERATURE, MAX_TEMPERATURE):
        assert not softmax(with_closed, temperature)[:, 5:].any()


@pytest.mark.parametrize(("right", "bound"), [(True, MIN_TEMPERATURE), (False, MAX_TEMPERATURE)])
def test_an_exit_that_is_always_right_or_always_wrong_ends_at_the_bounds(
    right: bool, bound: float
) -> None:
    labels = np.arange(100) % 3
    logits = np.eye(3, dtype=np.float32)[labels if right else (labels + 1) % 3]
    assert fit_temperature(logits, labels) == pytest.approx(bound)
    assert MIN_TEMPERATURE <= calibrate(logits, labels).temperature <= MAX_TEMPERATURE


def test_too_little_is_no_calibration() -> None:
    logits, labels = honest(MIN_SAMPLES - 1)
    assert calibrate(logits, labels) == NOT_CALIBRATED
    logits, labels = honest(MIN_SAMPLES)
    assert calibrate(logits, labels) != NOT_CALIBRATED
    assert calibrate(logits, np.zeros_like(labels)) == NOT_CALIBRATED
    logits[3, 1] = np.nan
    assert calibrate(logits, labels) == NOT_CALIBRATED


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    sure = np.tile([0.9, 0.1], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    assert expected_calibration_error(sure, labels) == pytest.approx(0.3)
    unsure = np.tile([0.4, 0.6], (10, 1))
    both = np.concatenate([sure, unsure])
    assert expected_calibration_error(both, np.tile(labels, 2)) == pytest.approx((0.3 + 0.2) / 2)
    certain = np.tile([1.0, 0.0], (10, 1))
    assert expected_calibration_error(certain, np.zeros(10, np.int64)) == 0
