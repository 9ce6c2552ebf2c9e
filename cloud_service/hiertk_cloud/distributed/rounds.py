"""A rank's training, round by round, together with the others.

In a round every rank consumes what its log has, up to some turns; one that has none takes part in
the steps of the others. Between rounds the ranks agree on a checkpoint, on stopping, and on idling.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch.distributed as dist
from hiertk_protocol.errors import StorageError

from hiertk_cloud.distributed.checkpoint import (
    GroupProgress,
    load_group_checkpoint,
    save_group_checkpoint,
)
from hiertk_cloud.distributed.exchange import GroupReport, RankReport, numbers_of
from hiertk_cloud.distributed.group import Group, reporting
from hiertk_cloud.distributed.learner import RankLearner
from hiertk_cloud.training.held_out import mean_accuracies
from hiertk_cloud.training.progress import Progress
from hiertk_cloud.training.trainer import Trainer

_TURNS_PER_ROUND = 16


class Rounds:
    """Runs rounds in one thread; any thread may read `report`, None before the first round."""

    def __init__(
        self,
        group: Group,
        learner: RankLearner,
        trainer: Trainer,
        *,
        checkpoint: Path,
        bundle_id: bytes,
        checkpoint_every: int,
        on_checkpoint: Callable[[int], None],
    ) -> None:
        """Go on from where the trainer and the learner are.

        checkpoint_every: cloud steps of the group. on_checkpoint: gets this rank's turn that a
        checkpoint on disk has consumed.
        """
        self._group = group
        self._learner = learner
        self._trainer = trainer
        self._checkpoint = checkpoint
        self._bundle_id = bundle_id
        self._every = checkpoint_every
        self._on_checkpoint = on_checkpoint
        self._saved_step = learner.steps
        self.report: GroupReport | None = None

    def run_one(self, tell: Callable[[RankReport], RankReport]) -> GroupReport:
        """Run a round and return what all ranks report.

        tell: completes this rank's report. Raises StorageError, or TransportError if a rank is
        gone.
        """
        with reporting():
            turns = self._consume()
            own = tell(replace(_report(self._trainer), turns=turns))
            numbers = self._group.gather_numbers(numbers_of(own))
            report = GroupReport.of(self._learner.steps, numbers)
            if report.stops or self._learner.steps - self._saved_step >= self._every:
                self._save()
        self.report = report
        return report

    def _consume(self) -> int:
        turns = 0
        with self._learner.round():
            while turns < _TURNS_PER_ROUND and self._trainer.advance():
                turns += 1
        return turns

    def _save(self) -> None:
        """Write a checkpoint in rank 0; once it is on the disk, every rank may forget."""
        progress = self._trainer.progress
        texts = self._group.gather_texts(progress.model_dump_json())
        if self._group.rank == 0:
            ranks = tuple(Progress.model_validate_json(text) for text in texts)
            whole = GroupProgress(cloud_step=self._learner.steps, ranks=ranks)
            save_group_checkpoint(self._checkpoint, self._bundle_id, self._learner, whole)
        dist.barrier()
        self._saved_step = self._learner.steps
        self._on_checkpoint(progress.turn)


def resume(group: Group, learner: RankLearner, checkpoint: Path, bundle_id: bytes) -> Progress:
    """Bring every rank to the checkpoint that rank 0 has; return this rank's progress.

    The other ranks need no access to the file. Raises ConfigError, in every rank the same.
    """
    text = ""
    with group.all_or_none():
        found = load_group_checkpoint(checkpoint, bundle_id, learner) if group.rank == 0 else None
        text = found.model_dump_json() if found else ""
    text = group.gather_texts(text)[0]
    if not text:
        return Progress()
    progress = GroupProgress.model_validate_json(text)
    if len(progress.ranks) != group.size:
        raise StorageError(
            f"{checkpoint} is of {len(progress.ranks)} ranks, these are {group.size}: "
            f"start {len(progress.ranks)}, or choose another state folder"
        )
    group.take_from_first(learner.tensors())
    learner.steps = progress.cloud_step
    return progress.ranks[group.rank]


def _report(trainer: Trainer) -> RankReport:
    progress, measures = trainer.progress, trainer.measures
    rounds = [device.rounds for device in progress.devices.values() if device.rounds]
    accuracies = mean_accuracies(rounds)
    measured = len(rounds)
    return RankReport(
        consumed=progress.turn,
        trained=progress.trained_total,
        skipped=progress.skipped_total,
        stale=progress.stale_total,
        measured=measured,
        final_exit_held_out_sum=accuracies.final_exit * measured if measured else 0,
        early_exit_held_out_sum=accuracies.early_exit * measured if measured else 0,
        loss=measures.loss,
        accuracy=measures.accuracy,
        step_ms=measures.step_ms,
    )
