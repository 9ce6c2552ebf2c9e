"""Opening the memory's file: a new one, this bundle's, or another's."""

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from hiertk_protocol.class_map import FIRST_VERSION
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import Manifest

from hiertk_edge.classes.record import KnowsClasses
from hiertk_edge.classes.table import PROVISIONAL, ClassInSlot
from hiertk_edge.rehearsal.exported import FirstSample
from hiertk_edge.rehearsal.file import MemoryFile
from hiertk_edge.rehearsal.labels import LabelRow
from hiertk_edge.rehearsal.schema import Owner

_log = logging.getLogger(__name__)


def open_file(
    path: Path,
    manifest: Manifest,
    seed: int,
    classes: KnowsClasses,
    first: Iterable[FirstSample] = (),
) -> MemoryFile:
    """Open the file, or create it with its first samples.

    A bundle of the same input size that has all classes takes another's samples over, class by
    class: they are stored as they are before normalization. Raises ConfigError if they do not fit
    the bundle, DamagedError, StorageError.
    """
    file = MemoryFile(path, manifest.input.raw_bytes)
    mine = Owner(manifest.bundle_id, manifest.input.size)
    try:
        if file.is_new:
            file.create(mine, seed, first)
            return file
        file.check()
        if file.is_of_schema_1:
            _upgrade(path, file, manifest)
        _check_size(path, file.owner(), mine)
        if file.owner() != mine:
            _take_over(path, file, manifest, classes)
        classes.adopt(row.known for row in file.labels().values())
    except BaseException:
        file.close()
        raise
    return file


def _upgrade(path: Path, file: MemoryFile, manifest: Manifest) -> None:
    first = file.first_owner()
    mine = Owner(manifest.bundle_id, manifest.input.size)
    _check_size(path, first.owner, mine)
    names = manifest.classes.names[: first.class_count]
    text = "\0".join((f"{first.class_count}", *names))
    if hashlib.sha256(text.encode(errors="surrogateescape")).digest() != first.class_names:
        raise _refusal(
            path, first.owner, f"its {first.class_count} classes are others than the bundle's first"
        )
    known = [ClassInSlot(name, FIRST_VERSION) for name in names]
    file.upgrade(first.owner, {slot: LabelRow(slot, one) for slot, one in enumerate(known)})


def _check_size(path: Path, held: Owner, mine: Owner) -> None:
    theirs, own = held.input_size, mine.input_size
    if theirs != own:
        raise _refusal(path, held, f"its images are {theirs}x{theirs}, the bundle's {own}x{own}")


def _take_over(path: Path, file: MemoryFile, manifest: Manifest, classes: KnowsClasses) -> None:
    held = file.owner()
    rows = file.labels()
    if manifest.capacity_of(held.bundle_id) is None:
        # Slots of another bundle mean nothing here: the names say what becomes of them.
        rows = {
            label: LabelRow(row.slot, ClassInSlot(row.known.name, PROVISIONAL))
            for label, row in rows.items()
        }
        unknown = sorted({row.known.name for row in rows.values()} - set(_names(classes)))
        if unknown:
            raise _refusal(path, held, f"its class {unknown[0][:80]!r} is none of the bundle's")
    file.hand_over(Owner(manifest.bundle_id, manifest.input.size), rows)
    _log.info(
        "bundle %s takes the rehearsal memory of %s over",
        manifest.bundle_id.hex()[:16],
        held.bundle_id.hex()[:16],
    )


def _names(classes: KnowsClasses) -> list[str]:
    aliases = [name for one in classes.table.map.slots for name in one.names]
    return [*classes.table.names, *aliases]


def _refusal(path: Path, held: Owner, reason: str) -> ConfigError:
    return ConfigError(
        f"{path} belongs to bundle {held.bundle_id.hex()[:16]}: {reason}: take that bundle or "
        "another state folder, or remove the file and its samples"
    )
