"""The checkpoint of a group: one model, and how far each rank has come in its own log."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from hiertk_cloud.training.checkpoint import read_state, read_tensors, write_state
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.progress import Progress

FORMAT = "hiertk-cloud group checkpoint 1"


class GroupProgress(BaseModel):
    """Everything up to each rank's turn has had its effect once. cloud_step: of the group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cloud_step: int = Field(default=0, ge=0)
    ranks: tuple[Progress, ...] = Field(min_length=1, max_length=1024)


def save_group_checkpoint(
    path: Path, bundle_id: bytes, learner: CloudLearner, progress: GroupProgress
) -> None:
    """Write a checkpoint atomically. Raises StorageError."""
    write_state(path, bundle_id, learner, progress, form=FORMAT)


def load_group_checkpoint(
    path: Path, bundle_id: bytes, learner: CloudLearner
) -> GroupProgress | None:
    """Bring the learner to a checkpoint and return its progress; None if there is none.

    Raises ConfigError if it belongs to another bundle, StorageError if it is damaged.
    """
    progress = read_state(path, bundle_id, {FORMAT: GroupProgress.model_validate_json})
    if progress is not None:
        read_tensors(path, learner)
    return progress
