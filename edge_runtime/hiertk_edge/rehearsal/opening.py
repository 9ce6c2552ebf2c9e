"""Opening the memory's file: a new one, this bundle's, or another's."""

import hashlib
import logging
from pathlib import Path

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import Manifest

from hiertk_edge.rehearsal.file import MemoryFile
from hiertk_edge.rehearsal.schema import Owner

_log = logging.getLogger(__name__)


def open_file(path: Path, manifest: Manifest, seed: int) -> MemoryFile:
    """Open or create the file.

    A bundle of the same input size and with the same classes in the same slots, perhaps more
    behind them, takes another's samples over: they are stored as they are before normalization.
    Raises ConfigError if they do not fit the bundle, DamagedError, StorageError.
    """
    file = MemoryFile(path, manifest.input.raw_bytes)
    try:
        if file.is_new:
            file.create(_owner(manifest, len(manifest.classes.names)), seed)
        else:
            file.check()
            _check_owner(path, file, manifest)
    except BaseException:
        file.close()
        raise
    return file


def _check_owner(path: Path, file: MemoryFile, manifest: Manifest) -> None:
    held, mine = file.owner(), _owner(manifest, len(manifest.classes.names))
    if held == mine:
        return
    size = manifest.input.size
    if held.input_size != size:
        reason = f"its images are {held.input_size}x{held.input_size}, the bundle's {size}x{size}"
    elif held.class_names != _owner(manifest, held.class_count).class_names:
        reason = f"its {held.class_count} classes are others than the bundle's first ones"
    else:
        file.hand_over(mine)
        _log.info(
            "bundle %s takes the rehearsal memory of %s over",
            manifest.deployment,
            held.bundle_id.hex()[:16],
        )
        return
    raise ConfigError(
        f"{path} belongs to bundle {held.bundle_id.hex()[:16]}: {reason}: take that bundle or "
        "another state folder, or remove the file and its samples"
    )


def _owner(manifest: Manifest, count: int) -> Owner:
    names = "\0".join(manifest.classes.names[:count])
    digest = hashlib.sha256(f"{count}\0{names}".encode(errors="surrogateescape")).digest()
    return Owner(manifest.bundle_id, manifest.input.size, count, digest)
