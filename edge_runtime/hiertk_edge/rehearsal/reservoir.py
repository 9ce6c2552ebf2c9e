"""Which samples are kept for rehearsal: a class-balanced reservoir, as a pure rule.

Class-balancing reservoir sampling (CBRS): Chrysakis and Moens, Online Continual Learning from
Imbalanced Data, ICML 2020, algorithm 1.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class ClassState:
    """What the rule must remember of a class beside its samples.

    seen: samples offered so far. is_full: it was the largest class of a full reservoir once.
    """

    seen: int = 0
    is_full: bool = False


class Reservoir:
    """The samples kept, by class slot; a sample is any whole number.

    As long as a class was never the largest of a full reservoir, all its samples are kept; from
    then on those kept are a uniform draw from all that were seen. After `remove` or a larger
    capacity there is room again, which new samples fill whatever their class.
    """

    def __init__(
        self,
        capacity: int,
        states: Mapping[int, ClassState] | None = None,
        members: Iterable[tuple[int, int]] = (),
    ) -> None:
        """Take up what was kept. members: (slot, sample), oldest first."""
        self.capacity = capacity
        self._states = dict(states or {})
        self._members: dict[int, array[int]] = {}
        for slot, sample in members:
            self._put(slot, sample)

    def __len__(self) -> int:
        return sum(map(len, self._members.values()))

    @property
    def states(self) -> Mapping[int, ClassState]:
        """What to remember of each class seen."""
        return self._states

    @property
    def slots(self) -> frozenset[int]:
        """The classes that have samples."""
        return frozenset(slot for slot, samples in self._members.items() if samples)

    def members(self, slot: int) -> tuple[int, ...]:
        """Return the kept samples of a class, oldest first."""
        return tuple(self._members.get(slot, ()))

    def copy(self) -> "Reservoir":
        """Return one that can be changed on its own."""
        new = Reservoir(self.capacity, self._states)
        new._members = {slot: array("q", samples) for slot, samples in self._members.items()}
        return new

    def add(self, slot: int, sample: int, generator: Random) -> int | None:
        """Offer a sample; return the one that has to go: another, itself, or None if none has."""
        state = self._states.get(slot, ClassState())
        seen = state.seen + 1
        self._states[slot] = ClassState(seen, state.is_full)
        if len(self) < self.capacity:
            self._put(slot, sample)
            return None
        largest = self._mark_largest()
        if not self._states[slot].is_full:
            if not largest:
                return sample
            leaving = self._take_one(_one_of(largest, generator), generator)
        else:
            kept = len(self._members.get(slot, ()))
            if generator.random() * seen >= kept:
                return sample
            leaving = self._take_one(slot, generator)
        self._put(slot, sample)
        return leaving

    def shrink(self, generator: Random) -> list[int]:
        """Take random samples of the largest classes until the capacity holds; return them."""
        gone = []
        while len(self) > self.capacity:
            largest = self._mark_largest()
            gone.append(self._take_one(_one_of(largest, generator), generator))
        return gone

    def remove(self, slot: int, sample: int) -> None:
        """Take out one sample, if it is there."""
        samples = self._members.get(slot)
        if samples is not None and sample in samples:
            samples.remove(sample)

    def forget(self, slot: int) -> None:
        """Take out a class, and what is remembered of it."""
        self._members.pop(slot, None)
        self._states.pop(slot, None)

    def moved(self, moves: Mapping[int, int | None]) -> "Reservoir":
        """Return one in which classes have other slots; two may have the same, or one none.

        Members are as old as they were. A class without a slot, or that `moves` leaves out, is left
        out.
        """
        members = [
            (target, sample)
            for slot, samples in self._members.items()
            if (target := moves.get(slot)) is not None
            for sample in samples
        ]
        return Reservoir(self.capacity, moved_states(self._states, moves), members)

    def draw(self, count: int, generator: Random) -> list[int]:
        """Return `count` different samples, as evenly from all classes as they hold out."""
        shuffled = [
            generator.sample(samples, min(count, len(samples)))
            for _, samples in sorted(self._members.items())
            if samples
        ]
        drawn: list[int] = []
        while shuffled and len(drawn) < count:
            turn = generator.sample(shuffled, min(len(shuffled), count - len(drawn)))
            drawn += [samples.pop() for samples in turn]
            shuffled = [samples for samples in shuffled if samples]
        return drawn

    def _put(self, slot: int, sample: int) -> None:
        self._members.setdefault(slot, array("q")).append(sample)

    def _take_one(self, slot: int, generator: Random) -> int:
        samples = self._members[slot]
        return samples.pop(generator.randrange(len(samples)))

    def _mark_largest(self) -> list[int]:
        """Return the largest classes, from now on full."""
        sizes = {slot: len(samples) for slot, samples in self._members.items() if samples}
        top = max(sizes.values(), default=0)
        largest = sorted(slot for slot, size in sizes.items() if size == top)
        for slot in largest:
            state = self._states.get(slot, ClassState())
            if not state.is_full:
                self._states[slot] = ClassState(state.seen, is_full=True)
        return largest


def moved_states(
    states: Mapping[int, ClassState], moves: Mapping[int, int | None]
) -> dict[int, ClassState]:
    """Return the states by other slots; of classes in one slot, the sum.

    A class without a slot, or that `moves` leaves out, is left out.
    """
    found: dict[int, ClassState] = {}
    for slot, state in states.items():
        target = moves.get(slot)
        if target is not None:
            other = found.get(target, ClassState())
            found[target] = ClassState(state.seen + other.seen, state.is_full or other.is_full)
    return found


def _one_of(slots: Sequence[int], generator: Random) -> int:
    return slots[generator.randrange(len(slots))]
