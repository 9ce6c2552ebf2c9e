"""The checkpoint: weights, optimizer state, and the log position that they stand for."""

from collections.abc import Iterator
from pathlib import Path

import torch
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.files import atomic_file
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hiertk_cloud.learner import CloudLearner
from hiertk_cloud.progress import Progress

FORMAT = "hiertk-cloud checkpoint 1"
_HEADER_BYTES = 16 << 20  # names, shapes and the held-out rounds of some ten thousand devices
_REMOVE = "remove it to train again from the log's beginning"


def save_checkpoint(
    path: Path, bundle_id: bytes, learner: CloudLearner, progress: Progress
) -> None:
    """Write a checkpoint atomically. Raises StorageError."""
    tensors = {name: tensor.contiguous() for name, tensor in _tensors(learner)}
    metadata = {
        "format": FORMAT,
        "bundle_id": bundle_id.hex(),
        "progress": progress.model_dump_json(),
    }
    with atomic_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise StorageError(f"cannot write {path}: {error}") from error


def load_checkpoint(path: Path, bundle_id: bytes, learner: CloudLearner) -> Progress | None:
    """Bring the learner to a checkpoint and return its progress; None if there is none.

    Raises ConfigError if it belongs to another bundle, StorageError if it is damaged.
    """
    if not path.exists():
        return None
    wanted = dict(_tensors(learner))
    try:
        _check_size(path, wanted)
        with safe_open(path, "pt") as file:
            progress = _check_metadata(path, bundle_id, file.metadata() or {})
            _check_names(path, set(file.keys()), set(wanted))
            found = {name: file.get_tensor(name) for name in wanted}
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path} is damaged: {error}: {_REMOVE}") from error
    _check_shapes(path, found, wanted)
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(found[name])
    return progress


def _tensors(learner: CloudLearner) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in learner.module.state_dict().items():
        yield f"module/{name}", tensor
    for name, tensor in learner.average.state_dict().items():
        yield f"average/{name}", tensor
    for name, parameter in learner.module.named_parameters():
        for moment, tensor in learner.optimizer.state[parameter].items():
            yield f"optimizer/{name}/{moment}", tensor


def _check_size(path: Path, wanted: dict[str, Tensor]) -> None:
    limit = sum(tensor.nbytes for tensor in wanted.values()) + _HEADER_BYTES
    size = path.stat().st_size
    if size > limit:
        raise StorageError(f"{path}: {size} bytes, at most {limit} are possible: {_REMOVE}")


def _check_metadata(path: Path, bundle_id: bytes, metadata: dict[str, str]) -> Progress:
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "unknown")[:60]
        raise StorageError(f"{path}: format {found!r} is not {FORMAT!r}: {_REMOVE}")
    owner = metadata.get("bundle_id", "")
    if owner != bundle_id.hex():
        raise ConfigError(
            f"{path.parent} holds the state of bundle {owner[:16]}, "
            f"not {bundle_id.hex()[:16]}: choose another --state folder"
        )
    try:
        return Progress.model_validate_json(metadata.get("progress", ""))
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise StorageError(f"{path}: its progress is damaged: {first}: {_REMOVE}") from error


def _check_names(path: Path, found: set[str], wanted: set[str]) -> None:
    odd = sorted(found ^ wanted)
    if odd:
        raise StorageError(
            f"{path}: {len(odd)} tensors missing or unknown, {odd[0][:80]!r} first: {_REMOVE}"
        )


def _check_shapes(path: Path, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise StorageError(
                f"{path}: {name} is {found[name].dtype} {tuple(found[name].shape)}, "
                f"not {tensor.dtype} {tuple(tensor.shape)}: {_REMOVE}"
            )
