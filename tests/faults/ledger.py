"""What the devices put, what they were told is safe, and what the service made of it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from books import Key, held, put, read, stored, train_on
from faults.field import DEVICES, FACTORY, Field
from hiertk_cloud.log.file import signed
from hiertk_cloud.training.checkpoint import read_progress
from hiertk_cloud.training.trainer import TrainerSettings
from safetensors.torch import load_file

TRAINING = TrainerSettings(replay=1, checkpoint_every=50)


def spool_of(field: Field, device: str) -> Path:
    return field.folder / device / "spool.sqlite"


def told_safe(field: Field, device: str) -> set[Key]:
    """Return the batches that a device has put and does not hold any more."""
    # One query, so that both halves are of one moment.
    query = (
        "SELECT device, epoch, next_seq, (SELECT group_concat(seq) FROM batches) FROM owner, totals"
    )
    return {
        (name, signed(int(epoch)), seq)
        for name, epoch, end, holds in read(spool_of(field, device), query)
        for seq in set(range(1, end)) - set(map(int, (holds or "0").split(",")))
    }


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
    every = {key for name in DEVICES for key in put(spool_of(field, name))}
    in_log = stored(field.state / "log.sqlite")
    progress = read_progress(
        field.state / "checkpoint.safetensors", field.bundle.manifest.bundle_id
    )
    assert progress is not None, "there is no checkpoint"
    (turns,) = read(field.state / "log.sqlite", "SELECT count(DISTINCT turn) FROM batches")[0]
    waiting = {name: held(spool_of(field, name)) for name in DEVICES}
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
    checkpoint = field.folder / "without-faults.safetensors"
    train_on(
        field.state / "log.sqlite",
        field.bundle,
        TRAINING,
        learning_rate=1e-3,
        checkpoint=checkpoint,
        trusted_factory=FACTORY,
    )
    wanted, found = load_file(checkpoint), load_file(field.state / "checkpoint.safetensors")
    return sum(not torch.equal(found[name], wanted[name]) for name in wanted)
