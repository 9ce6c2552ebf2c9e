"""Writing files and folders so that a crash leaves the old one or the new one, never half."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that takes its place if the block succeeds.

    Raises StorageError if the disk refuses.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        # A folder that cannot be entered fails here again, and would hide the error above.
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that takes its place if the block succeeds.

    Raises ConfigError if `target` exists and `replace` is false, StorageError if the disk refuses.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.exists() and not replace:
            raise ConfigError(f"{target} exists: choose another folder, or --force to replace it")
        # In a container the process id repeats: a crash may have left one of the same name.
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        _take_place(temporary, target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, target: Path) -> None:
    readable = temporary.stat().st_mode & 0o666
    for path in temporary.rglob("*"):
        if path.is_file():
            path.chmod(readable)  # safetensors writes files that only their owner may read
            with path.open("rb") as written:
                os.fsync(written.fileno())
    outgoing = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(outgoing)
    try:
        temporary.rename(target)
    except OSError:
        if outgoing.exists():
            outgoing.rename(target)
        raise
    sync_folder(target.parent)
    if outgoing.is_dir() and not outgoing.is_symlink():
        shutil.rmtree(outgoing)
    else:
        outgoing.unlink(missing_ok=True)
