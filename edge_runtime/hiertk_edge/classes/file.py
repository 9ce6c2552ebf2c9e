"""classes.json: the newest class map in place, and the provisional classes."""

from pathlib import Path
from typing import Annotated, Literal

from hiertk_protocol.class_map import ClassMap, checked_map, exported_map
from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.hiertk_pb2 import ClassMap as ClassMapMessage
from hiertk_protocol.hiertk_pb2 import ClassSlot as ClassSlotMessage
from hiertk_protocol.manifest import MAX_CLASSES, Manifest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hiertk_edge.classes.table import ClassTable
from hiertk_edge.damaged_file import DamagedError, reporting

_MAX_BYTES = 4 << 20
_Slot = Annotated[int, Field(ge=0, le=1 << 16)]
_Version = Annotated[int, Field(ge=1, lt=1 << 32)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Alias(_Part):
    name: str
    slot: _Slot
    since: _Version


class _Registered(_Alias):
    aliases: tuple[_Alias, ...] = ()


class _Provisional(_Part):
    name: str
    slot: _Slot


class _Content(_Part):
    schema_version: Literal[1] = 1
    bundle_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    version: _Version
    classes: tuple[_Registered, ...]
    provisional: tuple[_Provisional, ...] = ()


def write_table(path: Path, table: ClassTable, manifest: Manifest) -> None:
    """Write the table, whole or not at all. Raises StorageError."""
    content = _Content(
        bundle_id=manifest.bundle_id.hex(),
        version=table.map.version,
        classes=tuple(
            _Registered(
                name=one.name,
                slot=one.slot,
                since=one.since,
                aliases=tuple(_Alias(name=a.name, slot=a.slot, since=a.since) for a in one.aliases),
            )
            for one in table.map.slots
        ),
        provisional=tuple(_Provisional(name=n, slot=s) for n, s in table.provisional.items()),
    )
    with atomic_file(path) as temporary:
        temporary.write_text(content.model_dump_json(indent=1))


def read_table(path: Path, manifest: Manifest) -> ClassTable | None:
    """Read the table; None without a file.

    Of another bundle's file, unless this one was grown from it, only the names of the provisional
    classes are taken. Raises DamagedError, StorageError.
    """
    with reporting(path):
        if not path.exists():
            return None
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    try:
        return _table_of(_Content.model_validate_json(data[:_MAX_BYTES]), manifest)
    except (ValidationError, ProtocolError) as error:
        raise DamagedError(f"{path}: {str(error).splitlines()[0]}") from error


def _table_of(content: _Content, manifest: Manifest) -> ClassTable:
    classes = manifest.classes
    own = {clean_class_name(one.name): one.slot for one in content.provisional}
    if manifest.capacity_of(bytes.fromhex(content.bundle_id)) is None:
        exported = exported_map(classes)
        return ClassTable(exported, own, classes.capacity).after(exported)
    found = ClassTable(_map_of(content), own, classes.capacity)
    if content.bundle_id != manifest.bundle_id.hex():  # what had no slot there may have one here
        found = found.after(found.map)
    held = found.provisional
    if len(set(held.values())) != len(held) or any(
        slot in found.map.by_slot or slot >= classes.capacity or found.entry(name)
        for name, slot in held.items()
    ):
        raise ProtocolError("a provisional class is in a slot of another class")
    return found


def _map_of(content: _Content) -> ClassMap:
    message = ClassMapMessage(version=content.version)
    for one in content.classes:
        slot = ClassSlotMessage(slot=one.slot, name=one.name, since=one.since)
        for alias in one.aliases:
            slot.aliases.add(name=alias.name, slot=alias.slot, since=alias.since)
        message.slots.append(slot)
    return checked_map(message, MAX_CLASSES)
