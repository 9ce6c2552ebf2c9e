"""The service's state folder: log, classes, checkpoint, and a lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.storage import locked_folder


@dataclass(frozen=True)
class StateFolder:
    """Where the service keeps what must survive it."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / "log.sqlite"

    @property
    def classes(self) -> Path:
        return self.path / "classes.sqlite"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"


@contextmanager
def lock_state(path: Path) -> Iterator[StateFolder]:
    """Make the folder and hold it for this process. Raises ConfigError or StorageError."""
    with locked_folder(path):
        yield StateFolder(path)
