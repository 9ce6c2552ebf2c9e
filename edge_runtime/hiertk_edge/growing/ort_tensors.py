"""Tensors as ONNX Runtime's files hold them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hiertk_edge.growing.rows import with_more_rows

_FLOAT32 = 1  # of the schema's TensorDataType
_MAX_DIMENSIONS = 8
_MOST = 1 << 14  # tensors, or anything else that there is a list of


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file. values: a view of it; bytes, but for float32."""

    name: bytes
    shape: tuple[int, ...]
    data_type: int
    values: npt.NDArray[Any]

    @property
    def zeros(self) -> "StoredTensor":
        """One like it, of zeros."""
        return replace(self, values=np.zeros_like(self.values))


def each(at: Callable[[int], Any], count: int) -> list[Any]:
    """Return all elements of a file's list. Raises ValueError for more than any engine writes."""
    if count > _MOST:
        raise ValueError(f"a list of {count}")
    return [at(index) for index in range(count)]


def read_tensor(found: Any) -> StoredTensor:
    """Return a tensor of the file. Raises ValueError if its bytes do not fit its shape."""
    if found.DimsLength() > _MAX_DIMENSIONS:
        raise ValueError(f"a tensor of {found.DimsLength()} dimensions")
    shape = tuple(int(found.Dims(index)) for index in range(found.DimsLength()))
    values = found.RawDataAsNumpy()
    if found.DataType() == _FLOAT32:
        values = values.view("<f4").reshape(shape)
    return StoredTensor(found.Name(), shape, found.DataType(), values)


def read_parameters(state: Any) -> dict[bytes, StoredTensor]:
    """Return what a checkpoint's module trains and what it only reads, by name."""
    trained = each(state.RequiresGradParams, state.RequiresGradParamsLength())
    frozen = each(state.FrozenParams, state.FrozenParamsLength())
    return {one.name: one for one in map(read_tensor, (*trained, *frozen))}


def with_rows_of(held: StoredTensor, like: StoredTensor) -> StoredTensor:
    """Return a tensor with the other one's rows behind its own.

    Raises BundleError, or ValueError if they are of different kinds.
    """
    if (held.shape, held.data_type) == (like.shape, like.data_type):
        return held
    name = held.name.decode(errors="replace")
    if held.data_type != _FLOAT32 or like.data_type != _FLOAT32:
        raise ValueError(f"{name[:80]!r} is not float32")
    values = with_more_rows(name, held.values, like.values)
    return replace(held, shape=values.shape, values=values)
