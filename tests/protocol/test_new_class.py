"""A new class's first row, and the prior of rare classes."""

import numpy as np
import pytest
from hiertk_protocol.new_class import imprinted_row, log_prior
from hypothesis import example, given
from hypothesis import strategies as st

FEATURES = 6
Seeds = st.integers(0, 2**32 - 1)


def log_sum_exp(logits: np.ndarray) -> float:
    return float(np.logaddexp.reduce(logits))


def drawn(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return examples, the others' mean, weight and bias of the open slots."""
    random = np.random.default_rng(seed)
    examples = random.normal(2, 1, (5, FEATURES)).astype(np.float32)
    others = random.normal(0, 1, FEATURES).astype(np.float32)
    weight = random.normal(0, 1, (classes, FEATURES)).astype(np.float32)
    return examples, others, weight, random.normal(0, 1, classes).astype(np.float32)


@given(Seeds, st.integers(1, 5))
@example(seed=234361, classes=1)  # a direction of almost 0: float32's mean is not good enough
def test_the_row_points_to_the_examples_with_the_length_of_the_others(
    seed: int, classes: int
) -> None:
    examples, others, weight, bias = drawn(seed, classes)
    row = imprinted_row(examples, others, weight, bias)
    direction = examples.mean(axis=0, dtype=np.float64) - others
    length = np.linalg.norm(weight, axis=1).mean()
    assert row.weight.dtype == np.float32
    assert row.weight == pytest.approx(direction * length / np.linalg.norm(direction), rel=1e-4)


@given(Seeds, st.integers(1, 5))
def test_halfway_it_is_level_with_all_known_classes_together(seed: int, classes: int) -> None:
    examples, others, weight, bias = drawn(seed, classes)
    row = imprinted_row(examples, others, weight, bias)
    mean = examples.mean(axis=0)
    halfway = (mean + others) / 2
    here = float(row.weight @ halfway + row.bias)
    assert here == pytest.approx(log_sum_exp(weight @ halfway + bias), abs=1e-3)
    assert float(row.weight @ mean) > float(row.weight @ others)


def test_without_others_or_open_rows_there_is_a_finite_row() -> None:
    examples, others, weight, bias = drawn(0, 3)
    for row in (
        imprinted_row(examples, None, weight, bias),
        imprinted_row(examples, others, weight[:0], bias[:0]),
        imprinted_row(np.zeros((1, FEATURES), np.float32), None, weight, bias),
        imprinted_row(examples[:1], examples[0], weight, bias),
    ):
        assert np.isfinite(row.weight).all()
        assert np.isfinite(row.bias)


def test_the_rarer_a_class_the_lower_its_prior_and_the_most_frequent_has_none() -> None:
    prior = log_prior(np.array([100.0, 10.0, 0.0, 100.0, 1.0]))
    assert prior.dtype == np.float32
    assert prior == pytest.approx([0, np.log(0.1), 0, 0, np.log(0.01)])
    assert log_prior(np.array([100.0, 10.0]), strength=0.5)[1] == pytest.approx(np.log(0.1) / 2)


def test_without_counts_or_strength_there_is_no_prior() -> None:
    assert not log_prior(np.zeros(4)).any()
    assert not log_prior(np.array([5.0, 1.0]), strength=0).any()


# A count that decayed below this is for its owner to floor: the prior has no bound of its own.
Counts = st.just(0.0) | st.floats(1e-9, 1e6)


@given(st.lists(Counts, min_size=1, max_size=20), st.floats(0, 2))
def test_the_prior_is_finite_and_never_lifts_a_class(counts: list[float], strength: float) -> None:
    prior = log_prior(np.array(counts), strength)
    assert np.isfinite(prior).all()
    assert (prior <= 0).all()
