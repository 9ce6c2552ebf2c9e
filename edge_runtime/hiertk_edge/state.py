"""The state folder of one device and bundle: what must survive the process, and a lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.storage import locked_folder


@dataclass(frozen=True)
class StateFolder:
    """Where a device keeps what must survive it."""

    path: Path

    @property
    def spool(self) -> Path:
        return self.path / "spool.sqlite"

    @property
    def classes(self) -> Path:
        return self.path / "classes.json"

    @property
    def rehearsal(self) -> Path:
        return self.path / "memory.sqlite"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"


@contextmanager
def lock_state(path: Path) -> Iterator[StateFolder]:
    """Make the folder and hold it for this process. Raises ConfigError or StorageError."""
    with locked_folder(path):
        yield StateFolder(path)
