"""The memory of watched files: what is kept, what is forgotten, and a disk that is full."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hiertk_edge.sources.watched_files import WatchedFiles
from hiertk_protocol.errors import StorageError


def test_wrong_labels_and_unreadable_files_get_another_chance_at_the_next_start(
    tmp_path: Path,
) -> None:
    with closing(WatchedFiles(tmp_path / "w.sqlite")) as files:
        folder = files.folder(b"/in")
        files.remember(folder, b"a", "1 2", "taken")
        files.remember(folder, b"b", "1 2", "bad")
        files.remember(folder, b"c", "1 2", "mislabelled")
        files.remember(folder, b"d", "1 2", "unreadable")
    with closing(WatchedFiles(tmp_path / "w.sqlite")) as files:
        folder = files.folder(b"/in")
        outcomes = [files.known(folder, name) for name in (b"a", b"b", b"c", b"d")]
        assert outcomes == [("1 2", "taken"), ("1 2", "bad"), None, None]


def test_two_folders_do_not_know_each_others_files(tmp_path: Path) -> None:
    with closing(WatchedFiles(tmp_path / "w.sqlite")) as files:
        one, other = files.folder(b"/one"), files.folder(b"/other")
        files.remember(one, b"a", "1 2", "taken")
        assert files.known(other, b"a") is None
        assert (files.folder(b"/one"), files.count(one), files.count(other)) == (one, 1, 0)


def test_pruning_goes_through_all_names_in_parts(tmp_path: Path) -> None:
    with closing(WatchedFiles(tmp_path / "w.sqlite")) as files:
        folder = files.folder(b"/in")
        for number in range(2500):
            files.remember(folder, b"%d" % number, "1 2", "taken")
        asked: list[int] = []

        def gone(names: list[bytes]) -> list[bytes]:
            asked.append(len(names))
            return [name for name in names if int(name) % 2]

        files.prune(folder, gone)
        assert (files.count(folder), sum(asked), max(asked)) == (1250, 2500, 1000)


def test_a_full_disk_is_a_storage_error_until_there_is_room(tmp_path: Path) -> None:
    with closing(WatchedFiles(tmp_path / "w.sqlite")) as files:
        folder = files.folder(b"/in")
        files._database.execute("PRAGMA max_page_count = 8")
        with pytest.raises(StorageError, match=r"w.sqlite: .*full: free some space"):
            files.remember(folder, b"a" * 100_000, "1 2", "taken")
        assert files.known(folder, b"a" * 100_000) is None
        files._database.execute("PRAGMA max_page_count = 10000")
        files.check()
        files.remember(folder, b"a", "1 2", "taken")
        assert files.known(folder, b"a") == ("1 2", "taken")


def test_a_memory_of_another_version_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "w.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 7")
    with caplog.at_level(logging.WARNING), closing(WatchedFiles(path)) as files:
        assert files.count(files.folder(b"/in")) == 0
    assert "the list of watched files is damaged" in caplog.text
    assert (tmp_path / "w.sqlite.damaged-1").exists()


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open"):
        WatchedFiles(tmp_path / "none" / "w.sqlite")
