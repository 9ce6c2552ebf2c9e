"""The class map: which class is in which slot, in one version of the table.

The cloud's registry alone makes new versions. A slot that was retired may be given to another
class later; `since` tells the two apart. So whoever knows an older version finds out from a new one
alone what has become of each class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hiertk_protocol import hiertk_pb2 as pb
from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.manifest import ClassInfo
from hiertk_protocol.messages import parse_into

FIRST_VERSION = 1  # the classes of the export
MAX_MAP_BYTES = 100 << 10  # with its envelope below the strictest brokers' limit
_LARGEST_VERSION = (1 << 32) - 1


@dataclass(frozen=True)
class ClassAlias:
    """A class that was merged into another: its name, and the slot that it had."""

    name: str
    slot: int
    since: int


@dataclass(frozen=True)
class ClassSlot:
    """A class and its slot.

    since: the version of the map that gave it the slot. aliases: what was merged into it.
    """

    slot: int
    name: str
    since: int = FIRST_VERSION
    aliases: tuple[ClassAlias, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and its aliases'."""
        return (self.name, *(alias.name for alias in self.aliases))

    @property
    def origins(self) -> list[tuple[int, int]]:
        """Slot and version of its beginning, and its aliases'."""
        return [(self.slot, self.since), *((alias.slot, alias.since) for alias in self.aliases)]


@dataclass(frozen=True)
class ClassMap:
    """One version of the table; `slots` in the order of their numbers, free ones left out."""

    version: int
    slots: tuple[ClassSlot, ...]

    @cached_property
    def by_slot(self) -> Mapping[int, ClassSlot]:
        """The classes by their slots."""
        return {entry.slot: entry for entry in self.slots}

    @cached_property
    def _by_name(self) -> Mapping[str, ClassSlot]:
        return {name: entry for entry in self.slots for name in entry.names}

    @cached_property
    def _by_origin(self) -> Mapping[tuple[int, int], ClassSlot]:
        return {origin: entry for entry in self.slots for origin in entry.origins}

    def find(self, name: str) -> ClassSlot | None:
        """Return the class of that name or alias."""
        return self._by_name.get(name)

    def successor(self, slot: int, since: int) -> ClassSlot | None:
        """Return what an older version's class is now: itself, what it was merged into, or None."""
        return self._by_origin.get((slot, since))

    def to_message(self) -> pb.ClassMap:
        """Return the message for down/classes."""
        return pb.ClassMap(
            version=self.version,
            slots=[
                pb.ClassSlot(
                    slot=one.slot,
                    name=one.name,
                    since=one.since,
                    aliases=[
                        pb.ClassAlias(name=alias.name, slot=alias.slot, since=alias.since)
                        for alias in one.aliases
                    ],
                )
                for one in self.slots
            ],
        )


def exported_map(classes: ClassInfo) -> ClassMap:
    """Return the map at export."""
    return ClassMap(
        FIRST_VERSION, tuple(ClassSlot(slot, name) for slot, name in enumerate(classes.names))
    )


def parse_class_map(payload: bytes, capacity: int) -> ClassMap:
    """Parse and check a class map of a bundle with so many slots. Raises ProtocolError."""
    message = pb.ClassMap()
    parse_into(message, payload, "class map", MAX_MAP_BYTES)
    return checked_map(message, capacity)


def checked_map(message: pb.ClassMap, capacity: int) -> ClassMap:
    """Return a message's class map. Raises ProtocolError for what no registry makes."""
    if not FIRST_VERSION <= message.version <= _LARGEST_VERSION:
        raise ProtocolError(f"class map: version {message.version}")
    slots = tuple(
        ClassSlot(
            one.slot,
            clean_class_name(one.name),
            one.since,
            tuple(
                ClassAlias(clean_class_name(alias.name), alias.slot, alias.since)
                for alias in one.aliases
            ),
        )
        for one in message.slots
    )
    numbers = [one.slot for one in slots]
    if numbers != sorted(set(numbers)) or (numbers and numbers[-1] >= capacity):
        raise ProtocolError(f"class map: its slots are not in order below {capacity}")
    names = [name for one in slots for name in one.names]
    if len(set(names)) != len(names):
        raise ProtocolError("class map: a name is there twice")
    origins = [origin for one in slots for origin in one.origins]
    if len(set(origins)) != len(origins) or not all(
        slot < capacity and FIRST_VERSION <= since <= message.version for slot, since in origins
    ):
        raise ProtocolError("class map: a slot or an alias that no registry gives")
    return ClassMap(message.version, slots)
