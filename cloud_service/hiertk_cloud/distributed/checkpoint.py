"""The checkpoint of a group: one model, and how far each rank has come in its own log."""

from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from hiertk_cloud.checkpoint import read_tensors, write_tensors
from hiertk_cloud.learner import CloudLearner
from hiertk_cloud.progress import Progress

FORMAT = "hiertk-cloud group checkpoint 1"
_REMOVE = "remove it to train again from the logs' beginnings"


class GroupProgress(BaseModel):
    """Everything up to each rank's turn has had its effect once. cloud_step: of the group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cloud_step: int = Field(default=0, ge=0)
    ranks: tuple[Progress, ...] = Field(min_length=1, max_length=1024)


def save_group_checkpoint(
    path: Path, bundle_id: bytes, learner: CloudLearner, progress: GroupProgress
) -> None:
    """Write a checkpoint atomically. Raises StorageError."""
    metadata = {
        "format": FORMAT,
        "bundle_id": bundle_id.hex(),
        "progress": progress.model_dump_json(),
    }
    write_tensors(path, learner, metadata)


def load_group_checkpoint(
    path: Path, bundle_id: bytes, learner: CloudLearner
) -> GroupProgress | None:
    """Bring the learner to a checkpoint and return its progress; None if there is none.

    Raises ConfigError if it belongs to another bundle, StorageError if it is damaged.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            progress = _check_metadata(path, bundle_id, file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path} is damaged: {error}: {_REMOVE}") from error
    read_tensors(path, learner)
    return progress


def _check_metadata(path: Path, bundle_id: bytes, metadata: dict[str, str]) -> GroupProgress:
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "unknown")[:60]
        raise StorageError(f"{path}: format {found!r} is not {FORMAT!r}: {_REMOVE}")
    owner = metadata.get("bundle_id", "")
    if owner != bundle_id.hex():
        raise ConfigError(
            f"{path.parent} holds the state of bundle {owner[:16]}, "
            f"not {bundle_id.hex()[:16]}: choose another state folder"
        )
    try:
        return GroupProgress.model_validate_json(metadata.get("progress", ""))
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise StorageError(f"{path}: its progress is damaged: {first}: {_REMOVE}") from error
