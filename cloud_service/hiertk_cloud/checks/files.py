"""The bundle and the disk of the service."""

import shutil
from pathlib import Path

from hiertk_protocol.bundle import open_bundle
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.host.file_checks import advice_on_access, nearest_existing
from hiertk_protocol.signature import fingerprint, read_public_key

from hiertk_cloud.installation import UNIT


def look_at_bundle(path: Path, public_key: Path | None, factory: object) -> str:
    """Open the bundle, and verify its signature if one is asked for. Raises HiertkError."""
    key = None if public_key is None else read_public_key(public_key)
    manifest = open_bundle(path, key).manifest
    name = manifest.model.name
    is_own = ":" in name and not name.startswith("timm:")
    if is_own and factory != name:
        raise ConfigError(f"the bundle's network is {name}: set factory to that, if you trust it")
    found = f"deployment {manifest.deployment}, {name} at separation point {manifest.model.split}"
    signer = "" if key is None else f", signed by {fingerprint(key)}"
    return found + signer + advice_on_access(path, UNIT)


def look_at_disk(path: Path, reserve_mib: int) -> str:
    """Say how much may still be written. Raises StorageError."""
    free_mib = shutil.disk_usage(nearest_existing(path)).free >> 20
    if free_mib <= reserve_mib:
        raise StorageError(
            f"{free_mib} MiB free at {path}, log.reserve_mib is {reserve_mib}: nothing would be "
            "acknowledged: make room, or lower it"
        )
    return f"{free_mib - reserve_mib} MiB above log.reserve_mib"
