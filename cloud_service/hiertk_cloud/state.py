"""The service's state folder: log, checkpoint, and a lock."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError


@dataclass(frozen=True)
class StateFolder:
    """Where the service keeps what must survive it."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / "log.sqlite"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"


@contextmanager
def lock_state(path: Path) -> Iterator[StateFolder]:
    """Make the folder and hold it for this process.

    Raises ConfigError if another process holds it, StorageError if it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: choose another --state folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"{path} is in use by another hiertk-cloud: stop it, or choose another --state"
            ) from error
        yield StateFolder(path)
