"""Opening a rank: its folder and log, and the model as the group's checkpoint has it."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.manifest import Manifest
from torch import nn

from hiertk_cloud.distributed.group import Group
from hiertk_cloud.distributed.learner import RankLearner
from hiertk_cloud.distributed.rounds import Rounds, resume
from hiertk_cloud.distributed.state import RankFolder, lock_rank
from hiertk_cloud.ingest.ingest import Room
from hiertk_cloud.log import DurableLog, LogReader, marking_damage
from hiertk_cloud.report import Reporter
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.progress import Progress
from hiertk_cloud.training.trainer import Trainer, TrainerSettings

_SEEDS = 1 << 23  # the trainer makes one for each turn, and torch takes no larger ones


@dataclass(frozen=True)
class RankParts:
    """What is open."""

    log: DurableLog
    rounds: Rounds
    room: Room


@contextmanager
def open_parts(
    group: Group,
    manifest: Manifest,
    module: nn.Module,
    *,
    state: Path,
    settings: ServiceSettings,
    reporter: Reporter,
) -> Iterator[RankParts]:
    """Open a rank's state, at the group's checkpoint if there is one.

    Raises ConfigError, in every rank the same, if one of them cannot begin.
    """
    torch.set_num_threads(settings.threads)
    bundle_id = manifest.bundle_id
    learner = RankLearner(module, manifest, settings.learning_rate, settings.precision)
    with ExitStack() as stack:
        with group.all_or_none():
            folder = stack.enter_context(lock_rank(state, group))
        progress = resume(group, learner, folder.checkpoint, bundle_id)
        with group.all_or_none():
            log = DurableLog(
                folder.log,
                bundle_id,
                consumed=progress.turn,
                retention=settings.retention,
                tell=lambda text: reporter.say("log", f"rank {group.rank}: {text}"),
            )
            stack.enter_context(closing(log))
            reader = stack.enter_context(closing(LogReader(folder.log)))
            _check_log(reader, progress, folder)
        trainer = Trainer(
            learner,
            BatchSource(reader, manifest),
            settings_of_rank(group, settings.trainer),
            checkpoint=folder.path / "no-checkpoint",  # the group's is read and written elsewhere
            bundle_id=bundle_id,
            start=progress,
            give_turns=lambda: log.give_turns(stale_after=settings.stale_after),
            on_skip=lambda turn, reason: reporter.say(
                "skipped", f"rank {group.rank}: turn {turn} of the log is skipped: {reason}"
            ),
        )
        rounds = Rounds(
            group,
            learner,
            trainer,
            checkpoint=folder.checkpoint,
            bundle_id=bundle_id,
            checkpoint_every=settings.trainer.checkpoint_every,
            on_checkpoint=log.release,
        )
        with marking_damage(folder.log):
            yield RankParts(log, rounds, Room.of(folder.path, settings))


def settings_of_rank(group: Group, settings: TrainerSettings) -> TrainerSettings:
    """Return a rank's settings, with a seed of its own: no two draw the same replay and dropout.

    It replays whole batches, and leaves the loss as it is: samples that were drawn and counts would
    be a rank's own, and the group's checkpoint has none of them. Raises ConfigError for another
    schedule than "stream".
    """
    if settings.schedule != "stream":
        raise ConfigError(
            'trainer.schedule = "replay" is for one process: take "stream" for a group of them'
        )
    seed = (settings.seed * group.size + group.rank) % _SEEDS
    return replace(settings, seed=seed, replay_balance="none", logit_adjustment=0.0)


def _check_log(reader: LogReader, progress: Progress, folder: RankFolder) -> None:
    if progress.turn > reader.last_turn():
        raise StorageError(
            f"the group's checkpoint has consumed {progress.turn} batches of rank {folder.rank}, "
            f"{folder.log} has given {reader.last_turn()} their turn: restore all of one time, and "
            "start each rank on the machine that has its log"
        )
