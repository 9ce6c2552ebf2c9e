"""The confusion matrix: the newest evaluation of each device, summed."""

import numpy as np
import pytest
from hiertk_cloud.training import confusion
from hiertk_cloud.training.confusion import ConfusionRounds


def slots(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_rows_are_labels_and_columns_predictions_of_all_devices() -> None:
    rounds = ConfusionRounds()
    rounds.add("a", 1, slots(0, 0, 1), slots(0, 1, 1))
    rounds.add("b", 7, slots(2), slots(0))
    matrix = rounds.matrix(3)
    assert matrix is not None
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_a_new_round_counts_once_it_is_as_large_as_the_one_before() -> None:
    rounds = ConfusionRounds()
    rounds.add("a", 1, slots(0, 0), slots(1, 1))
    rounds.add("a", 2, slots(0), slots(0))
    assert rounds.matrix(2).tolist() == [[0, 2], [0, 0]]  # type: ignore[union-attr]
    rounds.add("a", 2, slots(1), slots(1))
    assert rounds.matrix(2).tolist() == [[1, 0], [0, 1]]  # type: ignore[union-attr]


def test_there_is_none_before_the_first_evaluation() -> None:
    assert ConfusionRounds().matrix(3) is None


def test_devices_beyond_the_bound_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusion, "MAX_DEVICES", 1)
    rounds = ConfusionRounds()
    for device in ("a", "b", "a"):
        rounds.add(device, 1, slots(0), slots(0))
    assert rounds.matrix(1).tolist() == [[2]]  # type: ignore[union-attr]
