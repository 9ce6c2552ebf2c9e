import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk_edge.spool import Cursor, Spool, SpoolLimits
from hiertk_protocol.hiertk_pb2 import FeatureBatch

BUNDLE = make_manifest().bundle_id

# As version 1 made it.
VERSION_1 = """
CREATE TABLE batches (seq INTEGER PRIMARY KEY, message BLOB NOT NULL);
CREATE TABLE owner (bundle_id BLOB NOT NULL, device TEXT NOT NULL, epoch TEXT NOT NULL);
CREATE TABLE cursor (plan TEXT NOT NULL, consumed INTEGER NOT NULL, evaluated_at INTEGER NOT NULL);
CREATE TABLE totals (
    next_seq INTEGER NOT NULL, spooled INTEGER NOT NULL, samples INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL, dropped INTEGER NOT NULL, refused INTEGER NOT NULL
);
INSERT INTO cursor VALUES ('the plan', 9, 4);
INSERT INTO totals VALUES (8, 7, 21, 5000, 2, 1);
PRAGMA user_version = 1;
"""
EPOCH = (1 << 64) - 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A spool of version 1 that holds messages 3, 5, 6 and 7, two samples each."""
    path = tmp_path / "spool.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(VERSION_1)
        database.execute("INSERT INTO owner VALUES (?, ?, ?)", (BUNDLE, DEVICE, str(EPOCH)))
        for seq in (3, 5, 6, 7):
            message = make_batch(seed=seq)
            message.epoch, message.seq = EPOCH, seq
            stored = (seq, message.SerializeToString())
            database.execute("INSERT INTO batches VALUES (?, ?)", stored)
        database.commit()
    return path


def open_spool(path: Path, limits: SpoolLimits | None = None) -> Spool:
    return Spool(path, bundle_id=BUNDLE, device=DEVICE, limits=limits)


def held(spool: Spool) -> list[int]:
    found: list[int] = []
    while (stored := spool.next_after(found[-1] if found else 0)) is not None:
        assert FeatureBatch.FromString(stored.message).seq == stored.seq
        found.append(stored.seq)
    return found


def test_a_spool_of_version_1_goes_on_as_it_was(path: Path) -> None:
    with closing(open_spool(path)) as spool:
        assert (spool.epoch, spool.cursor) == (EPOCH, Cursor("the plan", 9, 4))
        assert held(spool) == [3, 5, 6, 7]
        totals = spool.totals
        assert (totals.held, totals.next_seq, totals.spooled) == (4, 8, 7)
        assert (totals.samples, totals.payload_bytes) == (21, 5000)
        assert (totals.dropped, totals.refused, totals.damaged) == (2, 1, 0)
        assert spool.put([make_batch()], Cursor()) == [8]
        spool.settle(8, (), {})
        assert (spool.totals.held, spool.totals.held_bytes) == (0, 0)


def test_any_policy_can_make_room_in_what_was_migrated(path: Path) -> None:
    size = len(make_batch().SerializeToString()) + 40
    limits = SpoolLimits(max_bytes=4 * size, when_full="thin-out")
    with closing(open_spool(path, limits)) as spool:
        spool.put([make_batch()] * 2, Cursor())
        assert spool.totals.thinned > 0
        assert spool.totals.held_bytes <= 4 * size


def test_a_message_that_may_have_been_published_by_version_1_is_known_to_be(path: Path) -> None:
    with closing(open_spool(path)) as spool:
        assert spool.may_be_published(7)
        assert not spool.may_be_published(8)


def test_damaged_messages_are_left_behind_and_counted(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE batches SET message = x'ff' WHERE seq = 3")
        database.execute("UPDATE batches SET seq = 4 WHERE seq = 5")
        database.execute("UPDATE batches SET message = 'text' WHERE seq = 6")
        database.commit()
    with closing(open_spool(path)) as spool:
        assert held(spool) == [7]
        assert (spool.totals.damaged, spool.totals.held) == (3, 1)


def test_a_migration_that_fails_sets_version_1_aside_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE totals SET next_seq = 'x'")
        database.commit()
    with closing(open_spool(path)) as spool:
        assert held(spool) == []
    aside = path.with_name(f"{path.name}.damaged-1")
    with closing(sqlite3.connect(aside)) as database:
        assert database.execute("SELECT count(*) FROM batches").fetchone() == (4,)
        database.execute("UPDATE totals SET next_seq = 8")
        database.commit()
    with closing(open_spool(aside)) as spool:
        assert held(spool) == [3, 5, 6, 7]
