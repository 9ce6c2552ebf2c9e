"""A state folder has one owner; a transaction happens whole or not at all."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.storage import locked_folder, transaction

HOLD = """
import pathlib, sys
from hiertk_protocol.storage import locked_folder
with locked_folder(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_and_free_after_its_death(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="in use by another process"), locked_folder(folder):
            pass
        holder.kill()
    with locked_folder(folder) as held:
        assert held == folder


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="choose another --state"),
        locked_folder(tmp_path / "file" / "state"),
    ):
        pass


def insert_and_fail(database: sqlite3.Connection) -> None:
    with transaction(database):
        database.execute("INSERT INTO numbers VALUES (2)")
        database.execute("INSERT INTO nothing VALUES (3)")


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)) as database:
        database.execute("CREATE TABLE numbers (n INTEGER)")
        with transaction(database):
            database.execute("INSERT INTO numbers VALUES (1)")
        with pytest.raises(sqlite3.OperationalError, match="nothing"):
            insert_and_fail(database)
        assert database.execute("SELECT n FROM numbers").fetchall() == [(1,)]
