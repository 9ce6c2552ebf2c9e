"""The early exit's rows follow their classes, also all at once."""

import numpy as np
from edge_runtime.classes.class_parts import CAPACITY, EXPORTED, MANIFEST, class_map
from hiertk_edge.classes import ClassTable
from hiertk_edge.classes.exit_moves import move_rows
from hiertk_protocol.class_map import ClassAlias, ClassMap
from hiertk_protocol.new_class import ExitRow
from numpy_learner import NumpyLearner


def learner_with(*slots: int) -> NumpyLearner:
    """A learner whose rows hold their slot's number."""
    learner = NumpyLearner(MANIFEST)
    channels = len(learner.exit_rows([0])[0].weight)
    for slot in (0, 1, 2, *slots):
        learner.open_slot(slot, ExitRow(np.full(channels, slot, np.float32), float(slot)))
    return learner


def rows_of(learner: NumpyLearner) -> dict[int, float]:
    slots = sorted(learner.open_slots)
    rows = dict(zip(slots, learner.exit_rows(slots), strict=True))
    assert all((row.weight == row.bias).all() for row in rows.values())
    return {slot: row.bias for slot, row in rows.items()}


def after(newer: ClassMap, **provisional: int) -> dict[int, float]:
    """The rows after a map, of a device with these provisional classes."""
    before = ClassTable(class_map(1, EXPORTED), provisional, CAPACITY)
    learner = learner_with(*provisional.values())
    move_rows(learner, before.by_slot, before.after(newer))
    return rows_of(learner)


def test_a_provisional_classes_row_goes_to_its_slot() -> None:
    found = after(class_map(2, {**EXPORTED, 3: ("cup", 2)}), cup=7)
    assert found == {0: 0, 1: 1, 2: 2, 3: 7}


def test_rows_may_swap() -> None:
    newer = class_map(3, {**EXPORTED, 6: ("hat", 2), 7: ("cup", 3)})
    assert after(newer, cup=6, hat=7) == {0: 0, 1: 1, 2: 2, 6: 7, 7: 6}


def test_of_merged_classes_the_row_stays_whose_slot_stays() -> None:
    newer = class_map(2, {1: ("green", 1), 2: ("blue", 1)}, {2: (ClassAlias("red", 0, 1),)})
    assert after(newer) == {1: 1, 2: 2}


def test_of_two_classes_merged_into_a_third_the_first_row_stays() -> None:
    aliases = (ClassAlias("red", 0, 1), ClassAlias("green", 1, 1))
    newer = class_map(3, {2: ("blue", 1), 5: ("paint", 2)}, {5: aliases})
    assert after(newer) == {2: 2, 5: 0}


def test_a_retired_classes_row_closes_also_where_its_slot_has_another_class() -> None:
    newer = class_map(4, {0: ("hat", 4), 1: ("green", 1), 2: ("blue", 1)})
    assert after(newer) == {1: 1, 2: 2}


def test_a_row_that_stands_for_nothing_closes() -> None:
    learner = learner_with(5)
    table = ClassTable(class_map(1, EXPORTED), {}, CAPACITY)
    move_rows(learner, table.by_slot, table)
    assert rows_of(learner) == {0: 0, 1: 1, 2: 2}
