"""The confusion matrices: the newest evaluation of each device, summed, under any class map."""

import numpy as np
import pytest
from hiertk_cloud.training import confusion
from hiertk_cloud.training.confusion import ConfusionRounds, Evaluation
from hiertk_protocol.class_map import ClassAlias, ClassMap, ClassSlot
from hiertk_protocol.messages import SlotArray

EXPORTED = ClassMap(1, (ClassSlot(0, "cat"), ClassSlot(1, "dog"), ClassSlot(2, "owl")))


def slots(*values: int) -> SlotArray:
    return np.array(values, np.int64)


def evaluated(rounds: ConfusionRounds, classes: ClassMap = EXPORTED) -> Evaluation:
    found = rounds.evaluation(classes)
    assert found is not None
    return found


def add(
    rounds: ConfusionRounds,
    device: str,
    edge_step: int,
    labels: SlotArray,
    final_exit: SlotArray,
    *,
    early_exit: SlotArray | None = None,
    classes: ClassMap = EXPORTED,
) -> None:
    early = final_exit if early_exit is None else early_exit
    rounds.add(device, edge_step, labels, final_exit, early_exit=early, classes=classes)


def test_rows_are_labels_and_columns_predictions_of_all_devices_for_each_exit() -> None:
    rounds = ConfusionRounds()
    add(rounds, "a", 1, slots(0, 0, 1), slots(0, 1, 1), early_exit=slots(0, 0, 2))
    add(rounds, "b", 7, slots(2), slots(0), early_exit=slots(2))
    found = evaluated(rounds)
    assert found.final_exit.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.early_exit.tolist() == [[2, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert found.samples.tolist() == [2, 1, 1]


def test_a_new_round_counts_once_it_is_as_large_as_the_one_before() -> None:
    rounds = ConfusionRounds()
    add(rounds, "a", 1, slots(0, 0), slots(1, 1))
    add(rounds, "a", 2, slots(0), slots(0))
    assert evaluated(rounds).final_exit[:2, :2].tolist() == [[0, 2], [0, 0]]
    add(rounds, "a", 2, slots(1), slots(1))
    assert evaluated(rounds).final_exit[:2, :2].tolist() == [[1, 0], [0, 1]]


def test_there_is_none_before_the_first_evaluation() -> None:
    assert ConfusionRounds().evaluation(EXPORTED) is None


def test_what_was_added_gives_another_number() -> None:
    rounds = ConfusionRounds()
    add(rounds, "a", 1, slots(0), slots(0))
    before = evaluated(rounds)
    assert evaluated(rounds) is before
    add(rounds, "a", 1, slots(0), slots(0))
    assert evaluated(rounds).number != before.number


def test_samples_of_a_merged_class_count_for_what_it_was_merged_into() -> None:
    rounds = ConfusionRounds()
    add(rounds, "a", 1, slots(0, 2, 2, 1), slots(0, 2, 0, 2))
    merged = ClassMap(
        2, (ClassSlot(0, "cat", aliases=(ClassAlias("owl", 2, 1),)), EXPORTED.slots[1])
    )
    found = evaluated(rounds, merged)
    assert found.samples.tolist() == [3, 1]
    assert found.final_exit.tolist() == [[3, 0], [1, 0]]


def test_a_retired_class_is_gone_and_the_next_one_in_its_slot_begins_with_nothing() -> None:
    rounds = ConfusionRounds()
    add(rounds, "a", 1, slots(0, 2, 0), slots(0, 2, 2))
    reused = ClassMap(3, (*EXPORTED.slots[:2], ClassSlot(2, "kite", since=3)))
    found = evaluated(rounds, reused)
    assert found.samples.tolist() == [2, 0, 0]  # one was taken for the owl that is gone: wrong
    assert found.final_exit.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    add(rounds, "a", 1, slots(2), slots(2), classes=reused)
    assert evaluated(rounds, reused).final_exit[2, 2] == 1


def test_a_prediction_without_a_class_is_wrong_and_a_label_without_one_is_left_out() -> None:
    rounds = ConfusionRounds()
    add(rounds, "a", 1, slots(0, 0, -1), slots(-1, 0, 0))
    found = evaluated(rounds)
    assert found.samples.tolist() == [2, 0, 0]
    assert found.final_exit.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_devices_beyond_the_bound_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusion, "MAX_DEVICES", 1)
    rounds = ConfusionRounds()
    for device in ("a", "b", "a"):
        add(rounds, device, 1, slots(0), slots(0))
    assert evaluated(rounds).samples.sum() == 2
