"""Damage: found at the start or in the background, and repaired with what can be read."""

from pathlib import Path

import pytest
from cloud_service.log_parts import BUNDLE, DEVICE, give_all_turns, in_turn, query, stored
from hiertk_cloud.log import (
    DamagedEntryError,
    DurableLog,
    LogDamagedError,
    LogReader,
    damage_marker,
)
from hiertk_cloud.log.check import LogCheck, check_messages
from hiertk_protocol.errors import ConfigError

BATCHES = 200
SIZE = 5000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of three devices' batches, closed."""
    path = tmp_path / "log.sqlite"
    log = DurableLog(path, BUNDLE)
    for seq in range(1, BATCHES + 1):
        log.append([stored(seq, device=device, size=SIZE) for device in ("a", "b", "c")])
    for _ in range(10):
        log.give_turns()
    log.close()
    return path


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def damage_middle(path: Path) -> None:
    """Overwrite pages in the middle of the file, of messages and of the tree that leads to them."""
    size = path.stat().st_size
    overwrite(path, size // 2, b"\xa5" * 65536)


def test_damage_is_repaired_at_the_start_and_the_rest_is_kept(path: Path) -> None:
    damage_middle(path)
    told: list[str] = []
    log = DurableLog(path, BUNDLE, tell=told.append)
    assert "the log is repaired" in told[-1]
    kept = query(path, "SELECT count(*) FROM messages")[0][0]
    assert 0.9 * 3 * BATCHES < kept < 3 * BATCHES
    (aside,) = path.parent.glob("log.sqlite.damaged-*")
    assert f"{kept} batches are kept, {3 * BATCHES - kept} lost" in told[-1]
    assert str(aside) in told[-1]
    # It goes on: what is settled stays so, what is new is stored, every batch gets one turn.
    (answer,) = log.append([stored(5, device="a", size=SIZE), stored(BATCHES + 1, device="a")])
    assert answer.through == BATCHES + 1
    give_all_turns(log)
    assert log.totals.turns == log.totals.stored
    log.close()
    assert check_messages(path, lambda: False).damaged == 0
    again = DurableLog(path, BUNDLE, tell=told.append)
    assert len(told) == 2
    again.close()


def test_a_repaired_log_goes_on_behind_what_a_checkpoint_has_consumed(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)
    log = DurableLog(path, BUNDLE, consumed=77, tell=lambda _text: None)
    log.append([stored(1)])
    give_all_turns(log)
    reader = LogReader(path)
    assert reader.last_turn() == 78
    entry = reader.at_turn(78)
    assert entry is not None
    assert entry.message == b"message 1"
    reader.close()
    log.close()


def test_what_was_marked_as_damaged_while_it_ran_is_repaired_at_the_next_start(path: Path) -> None:
    damage_marker(path).touch()
    told: list[str] = []
    log = DurableLog(path, BUNDLE, tell=told.append)
    assert f"{3 * BATCHES} batches are kept, 0 lost" in told[-1]
    assert log.totals.stored == 3 * BATCHES
    log.close()
    assert not damage_marker(path).exists()


def test_another_bundles_damaged_log_is_left_as_it_is(path: Path) -> None:
    damage_middle(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="choose another --state"):
        DurableLog(path, b"\7" * 32, tell=lambda _text: None)
    assert path.read_bytes() == before


def test_one_changed_message_is_found_in_the_background_and_refused_to_readers(path: Path) -> None:
    query(path, "UPDATE messages SET message = 'changed' WHERE position = 1")
    query(path, "DELETE FROM messages WHERE position = 2")
    assert check_messages(path, lambda: False) == LogCheck(checked=3 * BATCHES, damaged=2)
    reader = LogReader(path)
    for turn in (1, 2):
        entry = reader.at_turn(turn)
        assert entry is not None
        with pytest.raises(DamagedEntryError, match=f"turn {turn}"):
            _ = entry.message
    reader.close()


def test_a_file_that_breaks_while_it_is_read_says_so(path: Path) -> None:
    damage_middle(path)
    with pytest.raises(LogDamagedError, match="start again, to have it repaired"):
        check_messages(path, lambda: False)


def test_the_search_for_damage_stops_when_it_is_asked_to(path: Path) -> None:
    assert check_messages(path, lambda: True).checked == 0


V1 = """
CREATE TABLE batches (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    train_number INTEGER UNIQUE,
    device TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, message BLOB NOT NULL,
    UNIQUE (device, epoch, seq)
);
CREATE TABLE streams (
    device TEXT NOT NULL, epoch INTEGER NOT NULL, through INTEGER NOT NULL,
    PRIMARY KEY (device, epoch)
) WITHOUT ROWID;
CREATE TABLE refusals (
    device TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (device, epoch, seq)
) WITHOUT ROWID;
CREATE TABLE owner (bundle_id BLOB NOT NULL);
CREATE TABLE totals (refused INTEGER NOT NULL, duplicates INTEGER NOT NULL);
PRAGMA user_version = 1;
"""


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """A log as version 1 wrote it: every fifth of 150 batches held out, number 151 refused."""
    path = tmp_path / "log.sqlite"
    for statement in V1.split(";"):
        query(path, statement)
    query(path, "PRAGMA journal_mode = WAL")
    number = 0
    for seq in range(1, 151):
        held_out = seq % 5 == 0
        number += not held_out
        query(
            path,
            "INSERT INTO batches (train_number, device, epoch, seq, message) VALUES (?,?,?,?,?)",
            *(None if held_out else number, DEVICE, -1, seq, b"message %d" % seq),
        )
    query(path, "INSERT INTO streams VALUES (?, -1, 151)", DEVICE)
    query(path, "INSERT INTO refusals VALUES (?, -1, 151, 'too odd')", DEVICE)
    query(path, "INSERT INTO owner VALUES (?)", BUNDLE)
    query(path, "INSERT INTO totals VALUES (1, 7)")
    return path


def assert_migrated(path: Path) -> None:
    log = DurableLog(path, BUNDLE, tell=lambda _text: None)
    totals = log.totals
    assert (totals.stored, totals.turns, totals.refused, totals.duplicates) == (150, 150, 1, 7)
    (answer,) = log.append([stored(151), stored(3), stored(152)])
    assert (answer.through, answer.refused) == (152, ((151, "too odd"),))
    give_all_turns(log)
    log.close()
    reader = LogReader(path)
    assert in_turn(reader) == [b"message %d" % seq for seq in (*range(1, 151), 152)]
    entries = [entry for turn in range(1, 152) if (entry := reader.at_turn(turn))]
    assert [e.train_number for e in entries][:7] == [1, 2, 3, 4, None, 5, 6]
    assert entries[-1].train_number == 121
    assert [e.turn for e in entries if e.held_out] == list(range(5, 151, 5))
    reader.close()
    assert query(path, "PRAGMA user_version") == [(2,)]
    assert not query(path, "SELECT 1 FROM sqlite_master WHERE name LIKE 'v1%'")


def test_a_log_of_version_1_becomes_one_of_this_version(version_1: Path) -> None:
    assert_migrated(version_1)


def test_a_migration_that_was_killed_goes_on(
    version_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hiertk_cloud.log import migrations

    class Killed(BaseException):
        pass

    def killed(_database: object) -> int:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "_finish_1", killed)
        with pytest.raises(Killed):
            DurableLog(version_1, BUNDLE, tell=lambda _text: None)
    assert query(version_1, "PRAGMA user_version") == [(1,)]
    assert_migrated(version_1)
