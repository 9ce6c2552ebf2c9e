"""Accuracies per class, their means, forgetting: by hand-made cases."""

import math

import numpy as np
import pytest
from hiertk.study.new_classes.measures import class_accuracies, forgetting, mean_of

NAN = float("nan")


def test_a_class_counts_its_own_images() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    predictions = np.array([0, 0, 0, 1, 1, 0])
    assert class_accuracies(predictions, labels, 2).tolist() == [0.75, 0.5]


def test_a_class_without_images_has_no_accuracy() -> None:
    accuracies = class_accuracies(np.array([2]), np.array([2]), 4)
    assert accuracies[2] == 1
    assert all(math.isnan(accuracies[slot]) for slot in (0, 1, 3))


def test_forgetting_is_the_drop_from_the_best_phase() -> None:
    phases = [[0.9, 0.8, NAN], [0.7, 0.85, 0.5], [0.8, 0.75, 0.9]]
    assert forgetting(phases, [0, 1]) == pytest.approx((0.1 + 0.1) / 2)


def test_who_ends_at_the_best_has_forgotten_nothing() -> None:
    assert forgetting([[0.5, NAN], [0.6, 0.7]], [0]) == 0


def test_each_class_counts_the_same() -> None:
    assert mean_of([1.0, 0.0, 0.5], [0, 1]) == 0.5
