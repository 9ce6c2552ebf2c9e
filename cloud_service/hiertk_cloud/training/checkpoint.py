"""The checkpoint: weights, optimizer state, and the log position that they stand for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
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

FORMAT = "hiertk-cloud checkpoint 3"
_FORMAT_2 = "hiertk-cloud checkpoint 2"  # before there were new classes
_FORMAT_1 = "hiertk-cloud checkpoint 1"
_PARSERS: Mapping[str, Callable[[str], Progress]] = {
    FORMAT: Progress.model_validate_json,
    _FORMAT_2: Progress.model_validate_json,
    _FORMAT_1: lambda text: Progress1.model_validate_json(text).now(),
}
_HEADER_BYTES = 16 << 20  # names, shapes and the held-out rounds of some ten thousand devices
REMOVE = "remove it to train again from the log's beginning"

State = TypeVar("State")
Tensors = Mapping[str, Tensor]


def save_checkpoint(
    path: Path,
    bundle_id: bytes,
    learner: CloudLearner,
    progress: Progress,
    more: Tensors = MappingProxyType({}),
) -> None:
    """Write a checkpoint atomically. more: what else the trainer has. Raises StorageError."""
    write_state(path, bundle_id, learner, progress, form=FORMAT, more=more)


def read_progress(path: Path, bundle_id: bytes) -> Progress | None:
    """Return the progress that a checkpoint names; None if there is none.

    Raises ConfigError if it belongs to another bundle, StorageError if it is damaged.
    """
    return read_state(path, bundle_id, _PARSERS)


def load_checkpoint(
    path: Path, bundle_id: bytes, learner: CloudLearner, more: Tensors = MappingProxyType({})
) -> Progress | None:
    """Bring the learner to a checkpoint and return its progress; None if there is none.

    more: what else is brought to it, and stays as it is where an older format has none of it.
    Raises ConfigError if it belongs to another bundle, StorageError if it is damaged.
    """
    progress = read_progress(path, bundle_id)
    if progress is None:
        return None
    read_tensors(path, learner, more)
    if progress.open_slots is not None:
        if max(progress.open_slots, default=0) >= learner.manifest.classes.capacity:
            raise StorageError(
                f"{path}: its progress is damaged: a class slot beyond the bundle's: {REMOVE}"
            )
        learner.slots.set(progress.open_slots)
    return progress


def write_state(
    path: Path,
    bundle_id: bytes,
    learner: CloudLearner,
    progress: BaseModel,
    *,
    form: str,
    more: Tensors = MappingProxyType({}),
) -> None:
    """Write weights, average, optimizer state and progress atomically. Raises StorageError.

    form: the name of the format that the progress has.
    """
    tensors = {name: tensor.contiguous() for name, tensor in (*_tensors(learner), *more.items())}
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
        raise StorageError(f"{path}: format {form[:60]!r} is not {wanted!r}: {REMOVE}")
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
        raise StorageError(f"{path}: its progress is damaged: {first}: {REMOVE}") from error


def read_tensors(path: Path, learner: CloudLearner, more: Tensors = MappingProxyType({})) -> None:
    """Bring the learner to what `write_state` wrote. Raises StorageError if it does not fit.

    more: the same, as far as it is there.
    """
    wanted = {**dict(_tensors(learner)), **more}
    with _reading(path):
        _check_size(path, wanted)
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            _check_names(path, names | set(more), set(wanted))
            wanted = {name: tensor for name, tensor in wanted.items() if name in names}
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
        raise StorageError(f"{path} is damaged: {error}: {REMOVE}") from error


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
        raise StorageError(f"{path}: {size} bytes, at most {limit} are possible: {REMOVE}")


def _check_names(path: Path, found: set[str], wanted: set[str]) -> None:
    odd = sorted(found ^ wanted)
    if odd:
        raise StorageError(
            f"{path}: {len(odd)} tensors missing or unknown, {odd[0][:80]!r} first: {REMOVE}"
        )


def _check_shapes(path: Path, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise StorageError(
                f"{path}: {name} is {found[name].dtype} {tuple(found[name].shape)}, "
                f"not {tensor.dtype} {tuple(tensor.shape)}: {REMOVE}"
            )
