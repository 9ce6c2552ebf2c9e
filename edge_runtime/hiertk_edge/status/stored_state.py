"""What a state folder tells of a device that does not run; nothing in it is changed."""

import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import StorageError
from pydantic import ValidationError

from hiertk_edge.state import StateFolder
from hiertk_edge.training.checkpoints import RECORD, generations, read_record


@dataclass(frozen=True)
class StoredState:
    """The spool's counts by name, and the newest checkpoint; None, empty: there is none.

    checkpoint_age_s: by the device's clock.
    """

    spool: dict[str, int]
    checkpoint_step: int | None
    checkpoint_age_s: float | None


def read_state(path: Path) -> StoredState | None:
    """Read a state folder; None if there is none. Raises StorageError if it cannot be read."""
    folder = StateFolder(path)
    try:
        if not path.is_dir():
            return None
        step, age_s = _newest_checkpoint(folder.checkpoints)
        spool = _counts(folder.spool) if folder.spool.exists() else {}
    except PermissionError as error:
        raise StorageError(f"{path}: {error.strerror}: ask with sudo") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    return StoredState(spool, step, age_s)


def _counts(spool: Path) -> dict[str, int]:
    uri = f"{spool.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=1.0)) as database:
            cursor = database.execute("SELECT * FROM totals")
            names = [column[0] for column in cursor.description]
            values = cursor.fetchone() or ()
            (held,) = database.execute("SELECT count(*) FROM batches").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{spool}: {error}: `hiertk-edge run` says what to do") from error
    counts = dict(zip(names, values, strict=False)) | {"held": held}
    return {name: value for name, value in counts.items() if isinstance(value, int)}


def _newest_checkpoint(folder: Path) -> tuple[int | None, float | None]:
    for path in generations(folder):
        # One that is damaged `hiertk-edge run` puts aside, and takes the one before.
        with suppress(ValidationError, FileNotFoundError):
            step = read_record(path).edge_step
            return step, time.time() - (path / RECORD).stat().st_mtime
    return None, None
