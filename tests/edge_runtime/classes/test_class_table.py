"""Where a class is, and where it goes when the class map changes."""

from edge_runtime.classes.class_parts import CAPACITY, EXPORTED, class_map
from hiertk_edge.classes import ClassInSlot, ClassTable
from hiertk_protocol.class_map import ClassAlias
from hiertk_protocol.messages import NEW_CLASS


def table(**provisional: int) -> ClassTable:
    return ClassTable(class_map(1, EXPORTED), provisional, CAPACITY)


def test_names_find_registered_provisional_and_merged_classes() -> None:
    merged = class_map(2, {0: ("red", 1), 1: ("green", 1)}, {0: (ClassAlias("crimson", 2, 1),)})
    found = ClassTable(merged, {"cup": 7}, CAPACITY)
    assert [found.slot_of(n) for n in ("red", "crimson", "cup", "blue")] == [0, 0, 7, None]
    assert found.names == ("red", "green", "cup")
    assert (found.name_of(7), found.name_of(2)) == ("cup", None)


def test_new_classes_go_over_the_wire_by_name_and_others_by_slot() -> None:
    found, names = table(cup=7, hat=6).wire([0, 7, 6, 7], [6, 2, 2, 0])
    assert found == [[0, NEW_CLASS, NEW_CLASS + 1, NEW_CLASS], [NEW_CLASS + 1, 2, 2, 0]]
    assert names == ["cup", "hat"]
    assert table(cup=7).wire([0, 1], [2, 2]) == ([[0, 1], [2, 2]], [])


def test_a_provisional_class_moves_to_the_slot_that_the_map_gives_it() -> None:
    before = table(cup=7)
    after = before.after(class_map(2, {**EXPORTED, 3: ("cup", 2)}))
    assert after.provisional == {}
    assert after.moves(before.by_slot) == {0: 0, 1: 1, 2: 2, 7: 3}


def test_two_classes_may_swap_their_slots() -> None:
    before = table(cup=7)
    after = before.after(class_map(3, {**EXPORTED, 7: ("hat", 2), 6: ("cup", 3)}))
    assert after.moves(before.by_slot)[7] == 6
    before = table(cup=6, hat=7)
    after = before.after(class_map(3, {**EXPORTED, 7: ("cup", 2), 6: ("hat", 3)}))
    assert after.moves(before.by_slot) == {0: 0, 1: 1, 2: 2, 6: 7, 7: 6}


def test_a_provisional_class_gives_way_to_the_class_that_gets_its_slot() -> None:
    before = table(cup=7)
    after = before.after(class_map(2, {**EXPORTED, 7: ("hat", 2)}))
    assert after.provisional == {"cup": 6}
    assert after.moves(before.by_slot)[7] == 6


def test_without_a_free_slot_a_provisional_class_is_nowhere() -> None:
    before = ClassTable(class_map(1, EXPORTED), {"cup": 3}, 4)
    after = before.after(class_map(2, {**EXPORTED, 3: ("hat", 2)}))
    assert (after.provisional, after.moves(before.by_slot)[3]) == ({}, None)


def test_merged_classes_share_a_slot_and_retired_ones_have_none() -> None:
    before = table()
    merged = class_map(2, {1: ("green", 1), 2: ("blue", 1)}, {1: (ClassAlias("red", 0, 1),)})
    assert before.after(merged).moves(before.by_slot) == {0: 1, 1: 1, 2: 2}
    reused = class_map(3, {0: ("hat", 3), 1: ("green", 1), 2: ("blue", 1)})
    assert before.after(reused).moves(before.by_slot) == {0: None, 1: 1, 2: 2}


def test_what_is_newer_than_the_map_is_found_by_its_name() -> None:
    known = {5: ClassInSlot("cup", 4), 6: ClassInSlot("hat", 9)}
    assert table(cup=7).moves(known) == {5: 7, 6: None}
    assert table(cup=7).lacks(known.values()) == ["hat"]
