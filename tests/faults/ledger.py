"""What the devices put, what they were told is safe, and what the service made of it."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from faults.field import DEVICES, FACTORY, Field
from hiertk.models import load_cloud_partition
from hiertk_cloud.batches import BatchSource
from hiertk_cloud.checkpoint import read_progress
from hiertk_cloud.learner import CloudLearner
from hiertk_cloud.log import LogReader
from hiertk_cloud.log.file import signed
from hiertk_cloud.trainer import Trainer, TrainerSettings
from safetensors.torch import load_file

Key = tuple[str, int, int]  # device, epoch (as SQLite holds it) and seq of a batch
TRAINING = TrainerSettings(replay=1, checkpoint_every=50)


def read(database: Path, query: str) -> list[Any]:
    """Query a file that another process may be writing; nothing as long as it is not there."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def put(field: Field, device: str) -> set[Key]:
    """Return the key of every batch that a device ever put into its spool."""
    spool = field.folder / device / "spool.sqlite"
    rows = read(spool, "SELECT device, epoch, next_seq FROM owner, totals")
    return {(name, signed(int(epoch)), seq) for name, epoch, end in rows for seq in range(1, end)}


def held(field: Field, device: str) -> int:
    """Return how many batches wait in a device's spool."""
    rows = read(field.folder / device / "spool.sqlite", "SELECT count(*) FROM batches")
    return int(rows[0][0]) if rows else 0


def told_safe(field: Field, device: str) -> set[Key]:
    """Return the batches that a device has put and does not hold any more."""
    # One query, so that both halves are of one moment.
    query = (
        "SELECT device, epoch, next_seq, (SELECT group_concat(seq) FROM batches) FROM owner, totals"
    )
    return {
        (name, signed(int(epoch)), seq)
        for name, epoch, end, holds in read(field.folder / device / "spool.sqlite", query)
        for seq in set(range(1, end)) - set(map(int, (holds or "0").split(",")))
    }


def stored(field: Field) -> list[Key]:
    """Return the key of every batch in the service's log."""
    return [
        tuple(row)
        for row in read(field.state / "log.sqlite", "SELECT device, epoch, seq FROM batches")
    ]


def consumed_epochs(field: Field, device: str, batches: int) -> int:
    """Return how many passes over its images a device has begun."""
    rows = read(field.folder / device / "spool.sqlite", "SELECT consumed FROM cursor")
    return int(rows[0][0]) // batches + 1 if rows else 1


@dataclass(frozen=True)
class Account:
    """The end of it all, by key. wrong: what must be empty, in words."""

    put: int
    stored: int
    turns: int
    trained: int
    wrong: tuple[str, ...]


def account(field: Field) -> Account:
    """Compare the devices' books with the service's, and its weights with a run of its own."""
    every = set().union(*(put(field, name) for name in DEVICES))
    in_log = stored(field)
    progress = read_progress(
        field.state / "checkpoint.safetensors", field.bundle.manifest.bundle_id
    )
    assert progress is not None, "there is no checkpoint"
    (turns,) = read(field.state / "log.sqlite", "SELECT count(DISTINCT turn) FROM batches")[0]
    waiting = {name: held(field, name) for name in DEVICES}
    wrong = {
        "batches that were put are not stored": len(every - set(in_log)),
        "batches are stored that nobody put": len(set(in_log) - every),
        "batches are stored more than once": len(in_log) - len(set(in_log)),
        "batches have no turn": len(in_log) - turns,
        "turns are not consumed": abs(turns - progress.turn),
        "turns did not train once": abs(progress.turn - progress.trained_total),
        "batches are still in spools": sum(waiting.values()),
        "tensors differ from a run without faults": _different_tensors(field),
    }
    return Account(
        put=len(every),
        stored=len(in_log),
        turns=turns,
        trained=progress.trained_total,
        wrong=tuple(f"{count} {what}" for what, count in wrong.items() if count),
    )


def _different_tensors(field: Field) -> int:
    """Train on the log from its beginning without a fault, and count what came out differently."""
    torch.set_num_threads(1)
    manifest = field.bundle.manifest
    checkpoint = field.folder / "without-faults.safetensors"
    module = load_cloud_partition(field.bundle, trusted_factory=FACTORY)
    with closing(LogReader(field.state / "log.sqlite")) as reader:
        trainer = Trainer(
            CloudLearner(module, manifest, 1e-3),
            BatchSource(reader, manifest),
            TRAINING,
            checkpoint=checkpoint,
            bundle_id=manifest.bundle_id,
            give_turns=lambda: 0,
            on_skip=lambda _turn, _reason: None,
        )
        while trainer.advance():
            pass
        trainer.save()
    wanted, found = load_file(checkpoint), load_file(field.state / "checkpoint.safetensors")
    return sum(not torch.equal(found[name], wanted[name]) for name in wanted)
