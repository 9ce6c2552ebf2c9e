"""The class table: which class is in which of this device's slots, at one moment. Pure.

It is the newest class map in place, and the provisional classes, which have slot numbers that the
map leaves free. A table never changes; another one takes its place.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from hiertk_protocol.class_map import ClassMap, ClassSlot, exported_map
from hiertk_protocol.manifest import ClassInfo
from hiertk_protocol.messages import NEW_CLASS, SlotArray

PROVISIONAL = 0  # in place of the version of the map that gave the slot


@dataclass(frozen=True)
class ClassInSlot:
    """What a slot stands for. since: as in the class map; PROVISIONAL: known by its name alone."""

    name: str
    since: int

    @property
    def is_provisional(self) -> bool:
        """Whether only this device knows the slot."""
        return self.since == PROVISIONAL


@dataclass(frozen=True)
class ClassTable:
    """The classes of a device. provisional: slots by name, none of them in the map."""

    map: ClassMap
    provisional: Mapping[str, int]
    capacity: int

    @cached_property
    def by_slot(self) -> Mapping[int, ClassInSlot]:
        """The classes by their slots, in order."""
        registered = {
            one.slot: ClassInSlot(one.name, one.since)
            for one in self.map.slots
            if one.slot < self.capacity
        }
        own = {slot: ClassInSlot(name, PROVISIONAL) for name, slot in self.provisional.items()}
        return dict(sorted((registered | own).items()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all classes, by slot; without aliases."""
        return tuple(one.name for one in self.by_slot.values())

    def slot_of(self, name: str) -> int | None:
        """Return the slot of the class with this name or alias."""
        entry = self.entry(name)
        return self.provisional.get(name) if entry is None else entry.slot

    def entry(self, name: str) -> ClassSlot | None:
        """Return the registered class of this name or alias, if the bundle has its slot."""
        return _within(self.map.find(name), self.capacity)

    def name_of(self, slot: int) -> str | None:
        """Return the name of the class in a slot."""
        found = self.by_slot.get(slot)
        return None if found is None else found.name

    def slot_now(self, slot: int, known: ClassInSlot) -> int | None:
        """Return where a class is now that an older table had in this slot; None: nowhere.

        What is newer than the map is looked for by name: the newer map was lost here.
        """
        if known.is_provisional or known.since > self.map.version:
            return self.slot_of(known.name)
        entry = _within(self.map.successor(slot, known.since), self.capacity)
        return None if entry is None else entry.slot

    def moves(self, known: Mapping[int, ClassInSlot]) -> dict[int, int | None]:
        """Return for each slot of an older table where its class is now, see `slot_now`."""
        return {slot: self.slot_now(slot, one) for slot, one in known.items()}

    def lacks(self, known: Iterable[ClassInSlot]) -> list[str]:
        """Return the names that could only be found here by name, and are not."""
        return [
            one.name
            for one in known
            if (one.is_provisional or one.since > self.map.version)
            and self.slot_of(one.name) is None
        ]

    def wire(self, *slots: Sequence[int]) -> tuple[list[list[int]], list[str]]:
        """Return slots as feature messages have them, and the names of the new classes in them."""
        names: list[str] = []
        found = [[self._on_wire(slot, names) for slot in some] for some in slots]
        return found, names

    def free_slot(self) -> int | None:
        """Return the highest slot that no class has; None if there is none."""
        return next((s for s in range(self.capacity - 1, -1, -1) if s not in self.by_slot), None)

    def with_provisional(self, name: str, slot: int) -> "ClassTable":
        """Return the table with one class more."""
        return ClassTable(self.map, {**self.provisional, name: slot}, self.capacity)

    def after(self, newer: ClassMap) -> "ClassTable":
        """Return the table with a newer map.

        Provisional classes that the map has are in it alone; one whose slot it has given to another
        class gets another free slot. Where there is none, it is left out.
        """
        waiting = {
            n: slot
            for n, slot in self.provisional.items()
            if _within(newer.find(n), self.capacity) is None
        }
        staying = {
            name: slot
            for name, slot in waiting.items()
            if slot < self.capacity and slot not in newer.by_slot
        }
        table = ClassTable(newer, staying, self.capacity)
        for name in sorted(waiting.keys() - staying.keys()):
            slot = table.free_slot()
            if slot is not None:
                table = table.with_provisional(name, slot)
        return table

    def _on_wire(self, slot: int, names: list[str]) -> int:
        known = self.by_slot.get(slot)
        if known is None or not known.is_provisional:
            return slot
        if known.name not in names:
            names.append(known.name)
        return NEW_CLASS + names.index(known.name)


def _within(entry: ClassSlot | None, capacity: int) -> ClassSlot | None:
    """Return a class if its slot is one of a bundle's, not only of one that was grown from it."""
    return None if entry is None or entry.slot >= capacity else entry


def exported_table(classes: ClassInfo) -> ClassTable:
    """Return the table at export."""
    return ClassTable(exported_map(classes), {}, classes.capacity)


def moved(labels: SlotArray, moves: Mapping[int, int | None]) -> SlotArray:
    """Return labels (N,) int64 where their classes are now; -1 for a class that is nowhere."""
    slots = [moves.get(label, label) for label in labels.tolist()]
    return np.array([-1 if slot is None else slot for slot in slots], np.int64)
