"""The references to earlier samples: balanced over classes, bounded in number and age."""

from collections import Counter

import numpy as np
import pytest
from hiertk_cloud.classes.history import NO_CLASS
from hiertk_cloud.training.reservoir import Reservoir, balanced
from hypothesis import given
from hypothesis import strategies as st

GENERATOR = np.random.default_rng(0)


def put(reservoir: Reservoir, number: int, *slots: int) -> list[int]:
    generator = np.random.default_rng(number)
    return reservoir.put(number, np.arange(len(slots)), np.array(slots), generator)


def held(reservoir: Reservoir) -> Counter[int]:
    return Counter(reservoir.slot[reservoir.number > 0].tolist())


def test_a_rare_class_keeps_its_samples_and_the_most_frequent_makes_room() -> None:
    reservoir = Reservoir(12)
    put(reservoir, 1, 7, 7, 7)
    for number in range(2, 20):
        put(reservoir, number, 0, 0, 0, 1)
    assert held(reservoir) == {0: 5, 1: 4, 7: 3} or held(reservoir) == {0: 4, 1: 5, 7: 3}
    for number in range(20, 60):
        put(reservoir, number, 3, 3, 3)
    assert held(reservoir) == {0: 3, 1: 3, 3: 3, 7: 3}
    assert set(reservoir.number[reservoir.slot == 7].tolist()) == {1}


def test_samples_of_a_class_are_renewed_by_its_own() -> None:
    reservoir = Reservoir(8)
    for number in range(1, 200):
        put(reservoir, number, 0, 1)
    assert held(reservoir) == {0: 4, 1: 4}
    assert reservoir.number.min() > 150


def test_each_sample_is_drawn_once_at_most_and_each_class_as_often() -> None:
    reservoir = Reservoir(64)
    put(reservoir, 1, *[0] * 40, *[1] * 20, 2, 2)
    cells = reservoir.draw(32, GENERATOR)
    assert len(set(cells)) == 32
    assert Counter(reservoir.slot[cells].tolist()) == {0: 15, 1: 15, 2: 2}
    assert len(reservoir.draw(100, GENERATOR)) == 62
    assert Reservoir(4).draw(8, GENERATOR) == []


def test_with_fewer_draws_than_classes_every_class_has_its_chance() -> None:
    reservoir = Reservoir(64)
    put(reservoir, 1, *range(10), *range(10))
    drawn = Counter(
        reservoir.slot[cell] for _ in range(200) for cell in reservoir.draw(3, GENERATOR)
    )
    assert set(drawn) == set(range(10))
    assert max(drawn.values()) < 2 * min(drawn.values())


def test_old_batches_and_lost_ones_are_forgotten() -> None:
    reservoir = Reservoir(16)
    for number in range(1, 5):
        put(reservoir, number, 0, 1)
    assert len(reservoir.forget_before(3)) == 4
    assert set(reservoir.forget_batch(3).tolist()) == set(np.flatnonzero(reservoir.row >= 0)[4:6])
    assert held(reservoir) == {0: 1, 1: 1}
    assert put(reservoir, 9, 5) == [0]  # the first free cell


def test_it_follows_the_class_map() -> None:
    reservoir = Reservoir(8)
    put(reservoir, 1, 0, 1, 2)
    gone = reservoir.translate(lambda slots: np.where(slots == 0, NO_CLASS, np.minimum(slots, 1)))
    assert gone.tolist() == [0]
    assert held(reservoir) == {1: 2}
    reservoir.clear()
    assert len(reservoir.translate(lambda slots: slots)) == 0


@pytest.mark.parametrize(
    ("name", "value"), [("slot", 3), ("slot", -1), ("row", -1), ("number", -1)]
)
def test_a_table_that_nothing_writes_is_not_sound(name: str, value: int) -> None:
    reservoir = Reservoir(4)
    put(reservoir, 1, 0, 1, 2)
    assert reservoir.is_sound(3)
    getattr(reservoir, name)[1] = value
    assert not reservoir.is_sound(3)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(0, 400), st.integers(0, 9)
)
def test_shares_are_as_even_as_what_is_there_allows(
    available: list[int], wanted: int, seed: int
) -> None:
    taken = balanced(np.array(available), wanted, np.random.default_rng(seed))
    assert taken.sum() == min(wanted, sum(available))
    assert (taken <= available).all()
    short = taken < available
    assert not short.any() or taken[short].min() >= taken.max() - 1
