"""A graph of XNNPACK operators, and its serialized form for ExecuTorch's XNNPACK delegate.

Operators on chunks of the batch are put in an order that finishes one chunk before the next, as
far as reductions over the whole batch allow: a chunk's values then stay in the processor's cache.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from executorch.backends.xnnpack.serialization import xnnpack_graph_schema as schema
from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import (
    serialize_xnnpack_binary,
)
from executorch.backends.xnnpack.utils.xnnpack_constants import (
    UINT64_MAX,
    XNN_INVALID_VALUE_ID,
    XNN_VALUE_FLAG_EXTERNAL_INPUT,
    XNN_VALUE_FLAG_EXTERNAL_OUTPUT,
)
from executorch.exir._serialize import _dataclass
from executorch.exir._serialize._named_data_store import NamedDataStore, NamedDataStoreOutput

Shape = tuple[int, ...]
_ALIGNMENT = 16


@dataclass(frozen=True)
class Value:
    """A float32 tensor of the graph, contiguous.

    chunk: the chunk of the batch that it belongs to, None for a value of the whole batch.
    phase: how many reductions over chunks lie before it.
    """

    id: int
    shape: Shape
    chunk: int | None = None
    phase: int = 0


def not_before(value: Value, other: Value) -> Value:
    """Return a value so that what is computed from it waits for another value's phase.

    Else what the backward pass makes of an activation would be made, and held, long before.
    """
    return replace(value, phase=max(value.phase, other.phase))


class Graph:
    """Collects operators; `serialize` gives what the delegate loads."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._nodes: list[tuple[int, int, int, Any]] = []
        self._inputs: list[int] = []
        self._outputs: list[int] = []
        self._constants = [schema.ConstantDataOffset(0, 0)]
        self._data = NamedDataStore()
        self._known: dict[tuple[Shape, bytes], Value] = {}

    def input(self, shape: Shape) -> Value:
        """Add the next input."""
        value = Value(self._define(shape, flags=XNN_VALUE_FLAG_EXTERNAL_INPUT), shape)
        self._inputs.append(value.id)
        return value

    def constant(self, array: npt.NDArray[np.float32]) -> Value:
        """Add a constant, once for equal ones."""
        content = np.ascontiguousarray(array, np.float32).tobytes()
        key = (array.shape, content)
        if key not in self._known:
            index = len(self._constants)
            # Not in the payload itself: the delegate frees that, and reads constants later.
            name = hashlib.sha256(content).hexdigest()
            self._data.add_named_data(name, content, _ALIGNMENT)
            self._constants.append(schema.ConstantDataOffset(UINT64_MAX, len(content), name))
            self._known[key] = Value(self._define(array.shape, buffer=index), array.shape)
        return self._known[key]

    def emit(
        self,
        operator: Any,
        inputs: Iterable[Value],
        shape: Shape,
        *,
        limits: tuple[float, float] | None = None,
        chunk: int | None = None,
        **fields: Any,
    ) -> Value:
        """Add an operator of the delegate's schema and return its output, of the given shape.

        limits: what the output is clamped to. chunk: the chunk that the output begins, if that is
        not its inputs'.
        """
        common, phase = _place(inputs)
        chunk = common if chunk is None else chunk
        value = Value(self._define(shape), shape, chunk, phase)
        node = operator(output_id=value.id, flags=fields.pop("flags", 0), **fields)
        self._add(node, value, limits)
        return value

    def output(self, value: Value) -> None:
        """Make a copy of a value the next output: neither inputs nor twice the same may be one."""
        chunk, phase = _place([value])
        identifier = self._define(value.shape, flags=XNN_VALUE_FLAG_EXTERNAL_OUTPUT)
        copy = schema.XNNCopy(input_id=value.id, output_id=identifier, flags=0)
        self._add(copy, Value(identifier, value.shape, chunk, phase), None)
        self._outputs.append(identifier)

    def serialize(self) -> bytes:
        """Return the delegate's payload, operators in their best order."""
        externals = [*self._inputs, *self._outputs]
        for number, identifier in enumerate(externals):
            self._values[identifier].xvalue_union.external_id = number
        whole = schema.XNNGraph(
            version="0",
            xnodes=[node for *_, node in sorted(self._nodes, key=lambda entry: entry[:3])],
            xvalues=self._values,
            num_externs=len(externals),
            input_ids=self._inputs,
            output_ids=self._outputs,
            constant_data=self._constants,
        )
        with _type_hints_once():
            content: bytes = serialize_xnnpack_binary(whole, bytearray())
        return content

    @property
    def constants(self) -> NamedDataStoreOutput:
        """The constants, which go into the program beside the payload."""
        return self._data.get_named_data_store_output()

    def __len__(self) -> int:
        """Return the number of operators."""
        return len(self._nodes)

    def _define(self, shape: Shape, *, flags: int = 0, buffer: int = 0) -> int:
        identifier = len(self._values)
        tensor = schema.XNNTensorValue(
            datatype=schema.XNNDatatype.xnn_datatype_fp32,
            num_dims=len(shape),
            dims=list(shape),
            constant_buffer_idx=buffer,
            external_id=XNN_INVALID_VALUE_ID,
            flags=flags,
            id_out=identifier,
        )
        self._values.append(schema.XValue(tensor))
        return identifier

    def _add(self, node: Any, value: Value, limits: tuple[float, float] | None) -> None:
        clamp = None if limits is None else schema.OutputMinMax(*limits)
        entry = schema.XNode(xnode_union=node, debug_handle=0, output_min_max=clamp)
        chunk = -1 if value.chunk is None else value.chunk
        self._nodes.append((value.phase, chunk, len(self._nodes), entry))


@contextmanager
def _type_hints_once() -> Iterator[None]:
    """Let ExecuTorch's writer look up the types of a record once, not for each operator.

    Without it, 20 s of the 23 s that it takes to write 13,000 operators go into that.
    """
    looked_up = _dataclass.get_type_hints
    _dataclass.get_type_hints = cache(looked_up)
    try:
        yield
    finally:
        _dataclass.get_type_hints = looked_up


def _place(inputs: Iterable[Value]) -> tuple[int | None, int]:
    """Return chunk and phase of what is computed from these."""
    values = list(inputs)
    chunks = {value.chunk for value in values} - {None}
    phase = max((value.phase for value in values), default=0)
    if len(chunks) > 1:
        return None, phase + 1
    return (chunks.pop() if chunks else None), phase
