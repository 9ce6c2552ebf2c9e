"""Where a trainer begins: at its checkpoint, if the log and the classes are not older than it."""

from pathlib import Path

from hiertk_protocol.errors import StorageError

from hiertk_cloud.training.checkpoint import REMOVE, load_checkpoint
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.memory import Memory
from hiertk_cloud.training.progress import Progress


def load(path: Path, bundle_id: bytes, learner: CloudLearner, memory: Memory) -> Progress:
    """Bring learner and memory to a checkpoint; return its progress, or none if there is no file.

    Raises ConfigError if it belongs to another bundle, StorageError if it is damaged.
    """
    found = load_checkpoint(path, bundle_id, learner, memory.tensors())
    try:
        memory.check()
    except StorageError as error:
        raise StorageError(f"{path}: {error}: {REMOVE}") from error
    return found or Progress()


def check_age(path: Path, progress: Progress, *, last_turn: int, newest_map: int) -> None:
    """Refuse a checkpoint that is ahead of the log or the class map. Raises StorageError."""
    if progress.turn > last_turn:
        raise StorageError(
            f"{path} has consumed {progress.turn} batches, the log beside it "
            f"has given {last_turn} their turn: restore both from the same time"
        )
    if progress.class_map_version > newest_map:
        raise StorageError(
            f"{path} knows class map {progress.class_map_version}, the newest of the "
            f"registry is {newest_map}: restore both from the same time"
        )
