"""Samples trained on, by class, whatever becomes of the classes."""

import numpy as np
from hiertk_cloud.training.class_tally import ClassTally
from hiertk_protocol.class_map import ClassAlias, ClassMap, ClassSlot

CAT, DOG, OWL = ClassSlot(0, "cat"), ClassSlot(1, "dog"), ClassSlot(2, "owl")


def test_samples_follow_their_class_through_merging_retirement_and_reuse() -> None:
    tally = ClassTally()
    exported = ClassMap(1, (CAT, DOG, OWL))
    tally.add(np.array([0, 0, 1, 2, 2, 2, 7]), exported)
    assert tally.by_slot(exported) == {0: 2, 1: 1, 2: 3}
    merged = ClassSlot(0, "cat", aliases=(ClassAlias("owl", 2, 1),))
    later = ClassMap(4, (merged, ClassSlot(1, "kite", since=4)))
    tally.add(np.array([1, 0]), later)
    assert tally.by_slot(later) == {0: 6, 1: 1}
