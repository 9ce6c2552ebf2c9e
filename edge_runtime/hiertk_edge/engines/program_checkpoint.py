"""The checkpoint of a step program's training: one safetensors file, whole or not there."""

from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import BundleError, StorageError
from hiertk_protocol.files import atomic_file
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hiertk_edge.engines.optimizers import Trained

_BUNDLE = "hiertk_bundle_id"
_STEP = "hiertk_edge_step"
_OPEN = "hiertk_open_slots"
_STEP_DIGITS = 15
_PARAMETERS, _STATISTICS = "parameters", "statistics"
_HEADER_BYTES = 1 << 16
_HEADER_BYTES_PER_TENSOR = 1 << 9

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Training:
    """All that training changes: parameters, moments and steps, and the running statistics."""

    trained: Trained
    statistics: Tensors

    def by_key(self) -> Tensors:
        """Return all tensors as `kind/name`."""
        groups = {_PARAMETERS: self.trained.parameters, _STATISTICS: self.statistics}
        return {
            f"{kind}/{name}": value
            for kind, values in (groups | self.trained.moments).items()
            for name, value in values.items()
        }


def write_checkpoint(path: Path, training: Training, bundle_id: bytes, open_slots: str) -> None:
    """Write a checkpoint in place of the one at `path`. Raises StorageError.

    open_slots: what `ExitSlots.text` gives.
    """
    metadata = {
        _BUNDLE: bundle_id.hex(),
        _STEP: str(training.trained.steps),
        _OPEN: open_slots,
    }
    with atomic_file(path) as temporary:
        try:
            save_file(training.by_key(), temporary, metadata)
        except SafetensorError as error:
            raise StorageError(f"cannot write {path}: {error}") from error


def read_checkpoint(
    path: Path, exported: Training, bundle_id: bytes, bundle: Path
) -> tuple[Training, str | None]:
    """Return the training at `path`, and its open slots if it names them.

    The tensors and shapes are those of `exported`; nothing larger is read. Raises BundleError.
    """
    wanted = exported.by_key()
    try:
        _check_size(path, wanted)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get(_BUNDLE) != bundle_id.hex():
                raise BundleError(
                    f"{path} is a checkpoint of another bundle than {bundle}: "
                    "take that bundle, or another state folder"
                )
            steps = _steps(metadata.get(_STEP, ""))
            _check_names(set(file.keys()), set(wanted))
            tensors = {key: _like(key, file.get_tensor(key), wanted[key]) for key in wanted}
    except (OSError, SafetensorError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise BundleError(f"{path} is no checkpoint of this engine: {first}") from error
    trained = exported.trained
    training = Training(
        Trained(
            parameters=_group(tensors, _PARAMETERS, trained.parameters),
            moments={kind: _group(tensors, kind, own) for kind, own in trained.moments.items()},
            steps=steps,
        ),
        statistics=_group(tensors, _STATISTICS, exported.statistics),
    )
    return training, metadata.get(_OPEN)


def _check_size(path: Path, wanted: Tensors) -> None:
    values = sum(value.numel() * value.element_size() for value in wanted.values())
    most = values + _HEADER_BYTES + _HEADER_BYTES_PER_TENSOR * len(wanted)
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"{size} bytes are more than the {most} that this bundle's has at most")


def _check_names(got: set[str], wanted: set[str]) -> None:
    odd = sorted(got ^ wanted)
    if odd:
        raise ValueError(f"{odd[0]!r} is {'missing' if odd[0] in wanted else 'not known'}")


def _like(key: str, got: Tensor, wanted: Tensor) -> Tensor:
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        raise ValueError(f"{key} is {got.dtype} {tuple(got.shape)}, not {tuple(wanted.shape)}")
    return got.clone()  # what was read is a view of the file


def _steps(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _STEP_DIGITS):
        raise ValueError(f"edge step {text[:20]!r}")
    return int(text)


def _group(tensors: Tensors, kind: str, like: Tensors) -> Tensors:
    return {name: tensors[f"{kind}/{name}"] for name in like}
