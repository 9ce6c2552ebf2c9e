"""The checkpoint of ONNX Runtime's engine with more class slots.

The engine's Python API neither gives nor takes moments. Its file is a flatbuffer, though, and the
engine's own package carries the classes that read and write it, made from its own schema: with them
the file is read tensor by tensor and written again.
"""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError

from hiertk_edge.growing.ort_schema import IDENTIFIER, OrtSchema, open_schema
from hiertk_edge.growing.ort_tensors import (
    StoredTensor,
    each,
    read_parameters,
    read_tensor,
    with_rows_of,
)

_EXPORTED = "edge/checkpoint"
_BUNDLE = b"hiertk_bundle_id"
_DAMAGE = (
    struct.error,
    AttributeError,
    IndexError,
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
)


def grow_ort_file(old: Path, bundle: Bundle, new: Path) -> None:
    """Write the checkpoint at `old` for a bundle that was grown from its own.

    New rows of parameters are the bundle's, those of moments are zeros, as before a first step. All
    else stays, the properties but for the bundle, too. Raises BundleError if it does not fit the
    bundle.
    """
    schema = open_schema()
    try:
        fresh = read_parameters(_open(schema, bundle.path(_EXPORTED)).ModuleState())
        writer = _Writer(schema, fresh, bundle.manifest.bundle_id.hex())
        content = writer.write(_open(schema, old), room=old.stat().st_size)
    except _DAMAGE as error:
        raise BundleError(f"{old} is no checkpoint of this engine: {error}") from error
    with new.open("wb") as file:
        file.write(content)


def _open(schema: OrtSchema, path: Path) -> Any:
    # Mapped: of a large file only what is looked at takes memory.
    data = np.memmap(path, np.uint8, mode="r").data
    if not schema.Checkpoint.Checkpoint.CheckpointBufferHasIdentifier(data, 0):
        raise ValueError(f"{path.name} is another kind of file")
    return schema.Checkpoint.Checkpoint.GetRootAs(data, 0)


class _Writer:
    """Writes a file like the one that it is given, with the rows and the bundle of another."""

    def __init__(self, schema: OrtSchema, fresh: dict[bytes, StoredTensor], bundle_id: str) -> None:
        self._schema = schema
        self._fresh = fresh
        self._bundle_id = bundle_id
        self._builder: Any = None

    def write(self, held: Any, room: int) -> memoryview:
        """Return the new file's bytes. room: about how many there will be."""
        state = held.ModuleState()
        if state.HasExternalData():
            raise ValueError("its tensors lie in another file")
        self._builder = self._schema.builder(room)
        schema = self._schema.Checkpoint
        module = self._module(state)
        groups = [
            self._group(one) for one in each(held.OptimizerGroups, held.OptimizerGroupsLength())
        ]
        listed = self._list(schema.CheckpointStartOptimizerGroupsVector, groups)
        bag = self._properties(held.PropertyBag())
        schema.CheckpointStart(self._builder)
        schema.CheckpointAddVersion(self._builder, held.Version())
        schema.CheckpointAddModuleState(self._builder, module)
        schema.CheckpointAddOptimizerGroups(self._builder, listed)
        schema.CheckpointAddPropertyBag(self._builder, bag)
        self._builder.Finish(schema.CheckpointEnd(self._builder), IDENTIFIER)
        return memoryview(self._builder.Bytes)[self._builder.Head() :]

    def _module(self, state: Any) -> int:
        schema = self._schema.ModuleState
        trained = [
            self._parameter(one)
            for one in each(state.RequiresGradParams, state.RequiresGradParamsLength())
        ]
        frozen = [
            self._parameter(one) for one in each(state.FrozenParams, state.FrozenParamsLength())
        ]
        trained_list = self._list(schema.ModuleStateStartRequiresGradParamsVector, trained)
        frozen_list = self._list(schema.ModuleStateStartFrozenParamsVector, frozen)
        schema.ModuleStateStart(self._builder)
        schema.ModuleStateAddRequiresGradParams(self._builder, trained_list)
        schema.ModuleStateAddFrozenParams(self._builder, frozen_list)
        schema.ModuleStateAddIsNominalState(self._builder, state.IsNominalState())
        return int(schema.ModuleStateEnd(self._builder))

    def _group(self, group: Any) -> int:
        schema = self._schema.OptimizerGroup
        states = [
            self._moments(one) for one in each(group.OptimizerStates, group.OptimizerStatesLength())
        ]
        listed = self._list(schema.OptimizerGroupStartOptimizerStatesVector, states)
        name = self._builder.CreateString(group.GroupName())
        schema.OptimizerGroupStart(self._builder)
        schema.OptimizerGroupAddGroupName(self._builder, name)
        schema.OptimizerGroupAddStep(self._builder, group.Step())
        schema.OptimizerGroupAddInitialLearningRate(self._builder, group.InitialLearningRate())
        schema.OptimizerGroupAddOptimizerStates(self._builder, listed)
        return int(schema.OptimizerGroupEnd(self._builder))

    def _moments(self, state: Any) -> int:
        schema = self._schema.ParameterOptimizerState
        zeros = self._like(state.ParamName()).zeros
        moments = [
            self._put(with_rows_of(read_tensor(one), zeros))
            for one in each(state.Momentums, state.MomentumsLength())
        ]
        listed = self._list(schema.ParameterOptimizerStateStartMomentumsVector, moments)
        name = self._builder.CreateString(state.ParamName())
        schema.ParameterOptimizerStateStart(self._builder)
        schema.ParameterOptimizerStateAddParamName(self._builder, name)
        schema.ParameterOptimizerStateAddMomentums(self._builder, listed)
        return int(schema.ParameterOptimizerStateEnd(self._builder))

    def _parameter(self, found: Any) -> int:
        tensor = read_tensor(found)
        return self._put(with_rows_of(tensor, self._like(tensor.name)))

    def _like(self, name: bytes) -> StoredTensor:
        if name not in self._fresh:
            raise ValueError(f"{name[:80]!r} is not known")
        return self._fresh[name]

    def _put(self, tensor: StoredTensor) -> int:
        schema, builder = self._schema.Tensor, self._builder
        name = builder.CreateString(tensor.name)
        shape = builder.CreateNumpyVector(np.array(tensor.shape, np.int64))
        raw = builder.CreateNumpyVector(np.ascontiguousarray(tensor.values).reshape(-1).view("u1"))
        schema.TensorStart(builder)
        schema.TensorAddName(builder, name)
        schema.TensorAddDims(builder, shape)
        schema.TensorAddDataType(builder, tensor.data_type)
        schema.TensorAddRawData(builder, raw)
        return int(schema.TensorEnd(builder))

    def _properties(self, bag: Any) -> int:
        schema = self._schema
        ints = [
            self._property("Int", one.Name(), one.Value())
            for one in each(bag.Ints, bag.IntsLength())
        ]
        floats = [
            self._property("Float", one.Name(), one.Value())
            for one in each(bag.Floats, bag.FloatsLength())
        ]
        strings = [
            self._property("String", one.Name(), self._builder.CreateString(self._text(one)))
            for one in each(bag.Strings, bag.StringsLength())
        ]
        kind = schema.PropertyBag
        ints_list = self._list(kind.PropertyBagStartIntsVector, ints)
        floats_list = self._list(kind.PropertyBagStartFloatsVector, floats)
        strings_list = self._list(kind.PropertyBagStartStringsVector, strings)
        kind.PropertyBagStart(self._builder)
        kind.PropertyBagAddInts(self._builder, ints_list)
        kind.PropertyBagAddFloats(self._builder, floats_list)
        kind.PropertyBagAddStrings(self._builder, strings_list)
        return int(kind.PropertyBagEnd(self._builder))

    def _text(self, found: Any) -> bytes | str:
        text: bytes = found.Value()
        return self._bundle_id if found.Name() == _BUNDLE else text

    def _property(self, kind: str, name: bytes, value: object) -> int:
        schema = self._schema.property_kind(kind)
        name_at = self._builder.CreateString(name)
        getattr(schema, f"{kind}PropertyStart")(self._builder)
        getattr(schema, f"{kind}PropertyAddName")(self._builder, name_at)
        getattr(schema, f"{kind}PropertyAddValue")(self._builder, value)
        return int(getattr(schema, f"{kind}PropertyEnd")(self._builder))

    def _list(self, start: Any, offsets: Iterable[int]) -> int:
        found = list(offsets)
        start(self._builder, len(found))
        for offset in reversed(found):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())
