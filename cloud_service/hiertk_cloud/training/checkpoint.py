"""The checkpoint: weights, optimizer state, and the log position that they stand for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.files import atomic_file
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.progress import Progress, Progress1

FORMAT = "hiertk-cloud checkpoint 2"
_FORMAT_1 = "hiertk-cloud checkpoint 1"
_PARSERS: Mapping[str, Callable[[str], Progress]] = {
    FORMAT: Progress.model_validate_json,
    _FORMAT_1: lambda text: Progress1.model_validate_json(text).now(),
}
_HEADER_BYTES = 16 << 20  # names, shapes and the held-out rounds of some ten thousand devices
_REMOVE = "remove it to train again from the log's beginning"

State = TypeVar("State")


def save_checkpoint(
    path: Path, bundle_id: bytes, learner: CloudLearner, progress: Progress
) -> None:
    """Write a checkpoint atomically. Raises StorageError."""
    write_state(path, bundle_id, learner, FORMAT, progress)


def read_progress(path: Path, bundle_id: bytes) -> Progress | None:
    """Return the progress that a checkpoint names; None if there is none.

    Raises ConfigError if it belongs to another bundle, StorageError if it is damaged.
    """
    return read_state(path, bundle_id, _PARSERS)


def load_checkpoint(path: Path, bundle_id: bytes, learner: CloudLearner) -> Progress | None:
    """Bring the learner to a checkpoint and return its progress; None if there is none.

    Raises ConfigError if it belongs to another bundle, StorageError if it is damaged.
    """
    progress = read_progress(path, bundle_id)
    if progress is not None:
        read_tensors(path, learner)
    return progress


def write_state(
    path: Path, bundle_id: bytes, learner: CloudLearner, form: str, progress: BaseModel
) -> None:
    """Write weights, average, optimizer state and progress atomically. Raises StorageError.

    form: the name of the format that the progress has.
    """
    tensors = {name: tensor.contiguous() for name, tensor in _tensors(learner)}
    metadata = {
        "format": form,
        "bundle_id": bundle_id.hex(),
        "progress": progress.model_dump_json(),
    }
    with atomic_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise StorageError(f"cannot write {path}: {error}") from error


def read_state(
    path: Path, bundle_id: bytes, parsers: Mapping[str, Callable[[str], State]]
) -> State | None:
    """Return the progress that `write_state` wrote; None if there is no file.

    parsers: of each format that is understood, the one that is written first. Raises ConfigError if
    the file belongs to another bundle, StorageError if it is damaged.
    """
    if not path.exists():
        return None
    with _reading(path), safe_open(path, "pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
    form = metadata.get("format", "unknown")
    if form not in parsers:
        wanted = next(iter(parsers))
        raise StorageError(f"{path}: format {form[:60]!r} is not {wanted!r}: {_REMOVE}")
    owner = metadata.get("bundle_id", "")
    if owner != bundle_id.hex():
        raise ConfigError(
            f"{path.parent} holds the state of bundle {owner[:16]}, "
            f"not {bundle_id.hex()[:16]}: choose another --state folder"
        )
    try:
        return parsers[form](metadata.get("progress", ""))
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise StorageError(f"{path}: its progress is damaged: {first}: {_REMOVE}") from error


def read_tensors(path: Path, learner: CloudLearner) -> None:
    """Bring the learner to what `write_state` wrote. Raises StorageError if it does not fit."""
    wanted = dict(_tensors(learner))
    with _reading(path):
        _check_size(path, wanted)
        with safe_open(path, "pt") as file:
            _check_names(path, set(file.keys()), set(wanted))
            found = {name: file.get_tensor(name) for name in wanted}
    _check_shapes(path, found, wanted)
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(found[name])


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path} is damaged: {error}: {_REMOVE}") from error


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
