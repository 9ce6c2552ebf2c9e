"""Where a measurement keeps its spool, checkpoint, images and log: gone when it ends."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.errors import StorageError


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder inside `parent`, whose disk is measured. Raises StorageError."""
    try:
        with tempfile.TemporaryDirectory(prefix=".hiertk-profile-", dir=parent) as name:
            yield Path(name)
    except OSError as error:
        raise StorageError(
            f"cannot work in {parent}: {error.strerror or error}: free some space there, or name "
            "another folder with --out"
        ) from error
