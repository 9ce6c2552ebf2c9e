"""A state folder's databases that go on under a grown bundle: only their owner is another."""

import sqlite3
from contextlib import closing
from pathlib import Path

from hiertk_protocol.errors import StorageError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.storage import transaction

_DAMAGE = ("malformed", "not a database", "no such table", "no such column")


def hand_over(path: Path, manifest: Manifest) -> bool:
    """Give a database of a bundle that `manifest` was grown from to its own bundle.

    The database says whose it is in a table `owner` with a column `bundle_id`. Returns whether it
    was handed over: a file of this bundle, of another one, or without an owner stays as it is, for
    whoever opens it to judge. Raises StorageError if the disk refuses.
    """
    if not (manifest.grown_from and path.is_file()):
        return False
    try:
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as database:
            return _hand_over(database, manifest)
    except sqlite3.Error as error:
        if any(sign in str(error) for sign in _DAMAGE):
            return False
        raise StorageError(f"{path}: {error}: is the disk full, or the file damaged?") from error


def _hand_over(database: sqlite3.Connection, manifest: Manifest) -> bool:
    (owner,) = database.execute("SELECT bundle_id FROM owner").fetchone() or (None,)
    if owner not in manifest.ancestors:
        return False
    with transaction(database):
        database.execute("UPDATE owner SET bundle_id = ?", (manifest.bundle_id,))
    return True
