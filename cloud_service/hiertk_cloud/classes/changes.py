"""Changes of the class map: each makes the next version of it, and nothing else does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from hiertk_protocol.class_map import ClassAlias, ClassMap, ClassSlot
from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.errors import ProtocolError


class Kind(str, Enum):
    """What a change does."""

    NAME = "name"
    MERGE = "merge"
    RETIRE = "retire"


@dataclass(frozen=True)
class Change:
    """What made a version: a class got a slot, was merged into another, or was retired.

    slot, name: of that class. into: the other class's slot. made_at: seconds since 1970. device:
    who asked; empty for the operator.
    """

    version: int
    kind: Kind
    slot: int
    name: str
    into: int | None = None
    made_at: int = 0
    device: str = ""


@dataclass(frozen=True)
class FreeSlots:
    """Slots without a class, lowest first.

    waiting: those that some device may still use for a class that is gone.
    """

    ready: tuple[int, ...]
    waiting: tuple[int, ...]


def changed(newest: ClassMap, change: Change, capacity: int) -> ClassMap:
    """Return the next version. Raises ProtocolError for a change that cannot follow this one."""
    if change.version != newest.version + 1:
        raise ProtocolError(f"class map {change.version} cannot follow {newest.version}")
    slots = dict(newest.by_slot)
    if change.kind is Kind.NAME:
        slots[change.slot] = _new_class(newest, change, capacity)
    else:
        gone = slots.pop(change.slot, None)
        if gone is None or gone.name != change.name:
            raise ProtocolError(f"slot {change.slot} is not of class {change.name!r}")
        if change.kind is Kind.MERGE:
            _merge(slots, gone, change.into)
    return ClassMap(change.version, tuple(slots[number] for number in sorted(slots)))


def free_slots(
    newest: ClassMap, changes: Sequence[Change], capacity: int, confirmed: Iterable[int]
) -> FreeSlots:
    """Return the slots that a class may get, and those that wait for devices.

    changes: all that led to this version. confirmed: the version that each device has in place.
    """
    gone_since = {change.slot: change.version for change in changes if change.kind is not Kind.NAME}
    oldest = min(confirmed, default=newest.version)
    free = [slot for slot in range(capacity) if slot not in newest.by_slot]
    return FreeSlots(
        ready=tuple(slot for slot in free if gone_since.get(slot, 0) <= oldest),
        waiting=tuple(slot for slot in free if gone_since.get(slot, 0) > oldest),
    )


def _new_class(newest: ClassMap, change: Change, capacity: int) -> ClassSlot:
    if not 0 <= change.slot < capacity or change.slot in newest.by_slot:
        raise ProtocolError(f"slot {change.slot} of {capacity} is not free")
    if newest.find(change.name) is not None or clean_class_name(change.name) != change.name:
        raise ProtocolError(f"the class name {change.name[:40]!r} is taken, or not usable")
    return ClassSlot(change.slot, change.name, since=change.version)


def _merge(slots: dict[int, ClassSlot], gone: ClassSlot, into: int | None) -> None:
    target = None if into is None else slots.get(into)
    if target is None:
        raise ProtocolError(f"class {gone.name!r} cannot be merged into slot {into}: no class")
    alias = ClassAlias(gone.name, gone.slot, gone.since)
    slots[target.slot] = replace(target, aliases=(*target.aliases, alias, *gone.aliases))
