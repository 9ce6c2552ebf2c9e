from collections import Counter
from random import Random

import numpy as np
import pytest
from hiertk_edge.rehearsal.reservoir import ClassState, Reservoir
from hypothesis import given, settings
from hypothesis import strategies as st

STREAMS = st.lists(st.sampled_from([0] * 12 + [1] * 4 + [2, 3, 7]), max_size=120)


def generator(seed: int = 0) -> Random:
    return Random(seed)


def fill(reservoir: Reservoir, slots: list[int], seed: int = 0) -> set[int]:
    """Offer samples 0, 1, ... of these slots; return those that are left."""
    random = generator(seed)
    left = set()
    for sample, slot in enumerate(slots):
        left.add(sample)
        left.discard(-1 if (gone := reservoir.add(slot, sample, random)) is None else gone)
    return left


def sizes(reservoir: Reservoir) -> dict[int, int]:
    return {slot: len(reservoir.members(slot)) for slot in reservoir.states}


@given(STREAMS, st.integers(0, 30), st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_what_leaves_and_what_is_kept_are_all_that_was_offered(
    slots: list[int], capacity: int, seed: int
) -> None:
    reservoir = Reservoir(capacity)
    left = fill(reservoir, slots, seed)
    members = {sample: slot for slot in reservoir.states for sample in reservoir.members(slot)}
    assert members.keys() == left
    assert all(slots[sample] == slot for sample, slot in members.items())
    assert len(reservoir) == min(capacity, len(slots))
    assert {slot: state.seen for slot, state in reservoir.states.items()} == Counter(slots)


@given(STREAMS, st.integers(1, 30), st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_classes_are_balanced_as_far_as_their_samples_reach(
    slots: list[int], capacity: int, seed: int
) -> None:
    reservoir = Reservoir(capacity)
    fill(reservoir, slots, seed)
    largest = max(sizes(reservoir).values(), default=0)
    for slot, state in reservoir.states.items():
        kept = len(reservoir.members(slot))
        if state.is_full:
            assert largest - 1 <= kept <= largest, "the full classes are equally large"
        else:
            assert kept == state.seen, "a class that was never the largest keeps all"


@given(STREAMS, st.integers(5, 30), st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_every_class_that_was_seen_keeps_its_share(
    slots: list[int], capacity: int, seed: int
) -> None:
    reservoir = Reservoir(capacity)
    fill(reservoir, slots, seed)
    classes = len(reservoir.states)
    for slot, state in reservoir.states.items():
        share = max(1, capacity // classes - 1)
        assert len(reservoir.members(slot)) >= min(state.seen, share)


def test_within_a_class_every_sample_is_kept_equally_likely() -> None:
    # Class 0 floods, class 1 comes late: both rules, replacing and making room, take part.
    slots = [0] * 30 + [1, 0, 0] * 10
    trials = 800
    kept = Counter[int]()
    for seed in range(trials):
        kept.update(fill(Reservoir(20), slots, seed))
    for slot in (0, 1):
        counts = np.array([kept[n] for n, own in enumerate(slots) if own == slot])
        chance = counts.sum() / len(counts) / trials
        assert chance == pytest.approx(0.2 if slot == 0 else 1.0)
        if chance < 1:
            # Drawn without replacement, this sum is distributed as chi-square of n - 1.
            degrees = len(counts) - 1
            spread = ((counts - trials * chance) ** 2).sum() / (trials * chance * (1 - chance))
            spread *= degrees / len(counts)
            assert abs(spread - degrees) < 3.3 * np.sqrt(2 * degrees)


def test_classes_that_take_turns_as_the_largest_keep_early_samples_as_well_as_late_ones() -> None:
    early = late = 0
    for seed in range(300):
        kept = fill(Reservoir(11), [0, 1, 2] * 30, seed)
        early += sum(sample < 45 for sample in kept)
        late += sum(sample >= 45 for sample in kept)
    assert early / (early + late) == pytest.approx(0.5, abs=0.03)


def test_one_class_alone_is_plain_reservoir_sampling() -> None:
    kept = Counter[bool]()
    for seed in range(300):
        kept.update(sample < 50 for sample in fill(Reservoir(10), [0] * 100, seed))
    assert kept[True] / 3000 == pytest.approx(0.5, abs=0.03)


def test_a_reservoir_without_room_keeps_nothing() -> None:
    reservoir = Reservoir(0)
    assert fill(reservoir, [0, 1, 0]) == set()
    assert reservoir.draw(5, generator()) == []


def test_it_goes_on_from_its_states_and_members_as_if_never_stopped() -> None:
    whole = Reservoir(10)
    fill(whole, [0] * 40 + [1, 2] * 10)
    again = Reservoir(
        10,
        whole.states,
        [(slot, sample) for slot in whole.states for sample in whole.members(slot)],
    )
    a, b = generator(1), generator(1)
    for sample in range(60, 160):
        assert whole.add(sample % 3, sample, a) == again.add(sample % 3, sample, b)
    assert whole.draw(7, a) == again.draw(7, b)


def test_a_copy_is_changed_on_its_own() -> None:
    reservoir = Reservoir(3)
    fill(reservoir, [0, 0, 0])
    copied = reservoir.copy()
    for sample in range(3, 30):
        copied.add(1, sample, generator(sample))
    assert reservoir.members(0) == (0, 1, 2)
    assert reservoir.states == {0: ClassState(3)}


def test_a_lowered_capacity_takes_from_the_largest_classes() -> None:
    whole = Reservoir(30)
    fill(whole, [0] * 20 + [1] * 8 + [2] * 2)
    small = Reservoir(
        9, whole.states, [(slot, one) for slot in (0, 1, 2) for one in whole.members(slot)]
    )
    gone = small.shrink(generator())
    assert len(gone) == 21
    assert sorted(sizes(small).values()) == [2, 3, 4]
    assert small.states[0].is_full
    assert not small.states[2].is_full


@given(STREAMS, st.integers(0, 40))
@settings(deadline=None, max_examples=50)
def test_draws_are_different_samples_evenly_from_all_classes(slots: list[int], count: int) -> None:
    reservoir = Reservoir(50)
    fill(reservoir, slots)
    drawn = reservoir.draw(count, generator())
    assert len(drawn) == len(set(drawn)) == min(count, len(reservoir))
    per_class = Counter(slots[sample] for sample in drawn)
    most = max(per_class.values(), default=0)
    for slot, kept in sizes(reservoir).items():
        assert per_class[slot] >= min(kept, most - 1), "only a class that is used up gives less"


def test_each_sample_of_a_class_is_drawn_equally_often() -> None:
    reservoir = Reservoir(50)
    fill(reservoir, [0] * 10 + [1] * 5)
    drawn = Counter[int]()
    random = generator(3)
    for _ in range(1500):
        drawn.update(reservoir.draw(2, random))
    assert all(drawn[sample] / 1500 == pytest.approx(0.1, abs=0.025) for sample in range(10))
    assert all(drawn[sample] / 1500 == pytest.approx(0.2, abs=0.035) for sample in range(10, 15))


def test_a_forgotten_class_begins_anew() -> None:
    reservoir = Reservoir(4)
    fill(reservoir, [0] * 20)
    reservoir.forget(0)
    assert len(reservoir) == 0
    assert reservoir.states == {}
    assert reservoir.add(0, 99, generator()) is None


def test_removing_what_is_not_there_changes_nothing() -> None:
    reservoir = Reservoir(4)
    fill(reservoir, [0, 0])
    reservoir.remove(0, 1)
    reservoir.remove(0, 1)
    reservoir.remove(5, 0)
    assert reservoir.members(0) == (0,)
