"""Bringing the spool of an earlier version to this one's, in one transaction."""

import sqlite3
from dataclasses import astuple

from google.protobuf.message import DecodeError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.storage import transaction

from hiertk_edge.spool.file import (
    BATCHES,
    INSERT_COUNTS,
    SCHEMA_VERSION,
    TOTALS,
    WIRE_HOURS,
    is_count,
)
from hiertk_edge.spool.records import SpoolTotals
from hiertk_edge.spool.rows import Rows, row_of

_OLD_TOTALS = "SELECT next_seq, spooled, samples, payload_bytes, dropped, refused FROM totals"


def migrate(database: sqlite3.Connection, version: int) -> None:
    """Bring the tables to this version. Raises sqlite3.Error, ValueError if they are damaged."""
    if version < 2:
        with transaction(database):
            _to_2(database)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _to_2(database: sqlite3.Connection) -> None:
    """Describe every message in a table of its own; the messages stay where they are."""
    next_seq, spooled, samples, payload_bytes, dropped, refused = database.execute(
        _OLD_TOTALS
    ).fetchone()
    if not is_count(next_seq):
        raise ValueError("the counts are damaged")
    database.execute("ALTER TABLE batches RENAME TO messages")
    database.execute("DROP TABLE totals")
    for statement in (BATCHES, TOTALS, WIRE_HOURS):
        database.execute(statement)
    damaged = _describe_messages(database, next_seq)
    held, held_bytes = Rows(database).sums()
    totals = SpoolTotals(
        held=held,
        held_bytes=held_bytes,
        next_seq=next_seq,
        spooled=spooled,
        samples=samples,
        payload_bytes=payload_bytes,
        dropped=dropped,
        refused=refused,
        damaged=damaged,
        published=next_seq - 1,  # any may have been, as far as is known
    )
    database.execute(INSERT_COUNTS, (*astuple(totals), 0, 0))


def _describe_messages(database: sqlite3.Connection, next_seq: int) -> int:
    """Describe what is whole, delete the rest; return how many those were."""
    rows = Rows(database)
    damaged = []
    query = "SELECT seq, CAST(message AS BLOB) FROM messages ORDER BY seq"
    for seq, data in database.execute(query):
        message = _parsed(data)
        if message is None or message.seq != seq or not 0 < seq < next_seq:
            damaged.append(seq)
        else:
            rows.describe(row_of(message, len(data), stored_at=0), data)
    rows.delete(damaged)
    return len(damaged)


def _parsed(data: object) -> FeatureBatch | None:
    if not isinstance(data, bytes):
        return None
    message = FeatureBatch()
    try:
        message.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):
        return None
    return message
