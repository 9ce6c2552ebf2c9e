"""The state folder of one device and bundle: spool, checkpoint, and a lock."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError


@dataclass(frozen=True)
class StateFolder:
    """Where a device keeps what must survive it."""

    path: Path

    @property
    def spool(self) -> Path:
        return self.path / "spool.sqlite"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    def newest_checkpoint(self) -> Path | None:
        """Return the checkpoint if there is one."""
        return self.checkpoint if self.checkpoint.exists() else None


@contextmanager
def lock_state(path: Path) -> Iterator[StateFolder]:
    """Make the folder and hold it for this process.

    Raises ConfigError if another process holds it, StorageError if it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: choose another --state") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"{path} is in use by another hiertk-edge: wait for it, or choose another --state"
            ) from error
        yield StateFolder(path)
