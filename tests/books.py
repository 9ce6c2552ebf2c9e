"""What devices and the cloud have on disk, by key, and training on it again."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from hiertk.models import load_cloud_partition
from hiertk_cloud.log import LogReader
from hiertk_cloud.log.file import signed
from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.trainer import Trainer, TrainerSettings
from hiertk_protocol.bundle import Bundle

Key = tuple[str, int, int]  # device, epoch (as SQLite holds it) and seq of a batch


def read(database: Path, query: str) -> list[Any]:
    """Query a file that another process may be writing; nothing as long as it is not there."""
    # Read-only: a last connection that may write would tidy up what a killed process left.
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def put(spool: Path) -> list[Key]:
    """Return the key of every batch that a device ever put into its spool, in order."""
    rows = read(spool, "SELECT device, epoch, next_seq FROM owner, totals")
    return [(name, signed(int(epoch)), seq) for name, epoch, end in rows for seq in range(1, end)]


def held(spool: Path) -> int:
    """Return how many messages wait in a spool."""
    rows = read(spool, "SELECT count(*) FROM batches")
    return int(rows[0][0]) if rows else 0


def consumed(spool: Path) -> int:
    """Return how many training batches a device has put into its spool."""
    rows = read(spool, "SELECT consumed FROM cursor")
    return int(rows[0][0]) if rows else 0


def stored(log: Path) -> list[Key]:
    """Return the keys of all batches in the cloud's log."""
    return read(log, "SELECT device, epoch, seq FROM batches ORDER BY 1, 2, 3")


def train_on(
    log: Path,
    bundle: Bundle,
    settings: TrainerSettings,
    *,
    learning_rate: float,
    checkpoint: Path,
    trusted_factory: str | None = None,
) -> None:
    """Train a new cloud partition on the whole log from its beginning, and save it."""
    manifest = bundle.manifest
    module = load_cloud_partition(bundle, trusted_factory=trusted_factory)
    with closing(LogReader(log)) as reader:
        trainer = Trainer(
            CloudLearner(module, manifest, learning_rate),
            BatchSource(reader, manifest),
            settings,
            checkpoint=checkpoint,
            bundle_id=manifest.bundle_id,
            give_turns=lambda: 0,
            on_skip=lambda _turn, _reason: None,
        )
        while trainer.advance():
            pass
        trainer.save()
