"""The Learner on ONNX Runtime's on-device training."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.new_class import ExitRow

from hiertk_edge.engines.exit_slots import BIAS, WEIGHT, ExitSlots, check_row
from hiertk_edge.engines.ort_engine import check_version, import_engine
from hiertk_edge.learner import (
    Float32Array,
    SlotArray,
    StepResult,
    check_images,
    check_learning_rate,
)

TRAINING_MODEL = "edge/training_model.onnx"
EVAL_MODEL = "edge/eval_model.onnx"
OPTIMIZER_MODEL = "edge/optimizer_model.onnx"
CHECKPOINT = "edge/checkpoint"
_STEP = "hiertk_edge_step"
_BUNDLE = "hiertk_bundle_id"
_OPEN = "hiertk_open_slots"


class OrtLearner:
    """See `Learner`. The arena is off: it costs a third of the memory and gains nothing here.

    The engine does not show its moments: a slot that is opened again soon after it was closed goes
    on with what is left of them.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1, checkpoint: Path | None = None) -> None:
        check_version(bundle.manifest.engine.version)
        runtime, api = import_engine()
        self._manifest = bundle.manifest
        self._api = api
        self._state = _load_state(api, bundle, checkpoint)
        self._slots = _open_slots(self._state, bundle, checkpoint)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False
        try:
            self._module = api.Module(
                str(bundle.path(TRAINING_MODEL)),
                self._state,
                str(bundle.path(EVAL_MODEL)),
                session_options=options,
            )
            self._optimizer = api.Optimizer(str(bundle.path(OPTIMIZER_MODEL)), self._module)
        except RuntimeError as error:
            raise BundleError(f"{bundle.folder}: the engine refuses it: {_first(error)}") from error
        self.learning_rate = bundle.manifest.optimizer.learning_rate
        self._training: bool | None = None

    @property
    def edge_step(self) -> int:
        return int(self._state.properties[_STEP])

    @property
    def learning_rate(self) -> float:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        check_learning_rate(rate)
        self._optimizer.set_learning_rate(rate)
        self._learning_rate = rate

    @property
    def fixed_batch_size(self) -> int | None:
        return None

    @property
    def open_slots(self) -> frozenset[int]:
        return self._slots.open

    def exit_rows(self, slots: Sequence[int]) -> list[ExitRow]:
        for slot in slots:
            self._slots.check(slot)
        weight, bias = self._parameter(WEIGHT), self._parameter(BIAS)
        return [ExitRow(weight[slot].copy(), float(bias[slot])) for slot in slots]

    def open_slot(self, slot: int, row: ExitRow | None = None) -> None:
        self._slots.check(slot)
        if row is not None:
            self._put_row(slot, row)
        self._slots.add(slot)

    def close_slot(self, slot: int) -> None:
        self._slots.check(slot)
        self._slots.remove(slot)

    def adjust(self, prior: Float32Array | None) -> None:
        self._slots.adjust(prior)

    def can_train(self, samples: int) -> bool:
        return samples > 0

    def step(self, images: Float32Array, labels: SlotArray) -> StepResult:
        result = self.forward_backward(images, labels)
        self.update()
        return result

    def forward_backward(self, images: Float32Array, labels: SlotArray) -> StepResult:
        """Compute loss and gradients, and move the running statistics."""
        return self._run(images, labels, training=True)

    def update(self) -> None:
        """Take one optimizer step and clear the gradients."""
        self._optimizer.step()
        self._module.lazy_reset_grad()
        self._state.properties[_STEP] = self.edge_step + 1

    def evaluate(self, images: Float32Array, labels: SlotArray | None = None) -> StepResult:
        if labels is not None:
            return self._run(images, labels, training=False)
        result = self._run(images, None, training=False)
        return StepResult(math.nan, result.features, result.logits)

    def save(self, path: Path) -> None:
        self._state.properties[_OPEN] = self._slots.text()
        with atomic_file(path) as temporary:
            self._api.CheckpointState.save_checkpoint(
                self._state, str(temporary), include_optimizer_state=True
            )

    def parameters(self) -> dict[str, Float32Array]:
        """Return copies of all parameters and running statistics by PyTorch's names."""
        return {name: parameter.data.copy() for name, parameter in self._state.parameters}

    def gradients(self) -> dict[str, Float32Array]:
        """Return copies of the gradients between `forward_backward` and `update`."""
        return {
            name: parameter.grad.copy()
            for name, parameter in self._state.parameters
            if parameter.requires_grad
        }

    def _run(self, images: Float32Array, labels: SlotArray | None, *, training: bool) -> StepResult:
        check_images(images, self._manifest.input.shape)
        if labels is None:
            labels = np.zeros(len(images), np.int64)
        else:
            self._slots.check_labels(labels, len(images))
        if training != self._training:
            self._module.train(training)
            self._training = training
        bias = self._slots.training_bias if training else self._slots.evaluation_bias
        loss, features, logits = self._module(images, bias, labels)
        result = StepResult(float(loss), features, logits)
        return self._slots.unadjusted(result, labels) if training else result

    def _put_row(self, slot: int, row: ExitRow) -> None:
        weight, bias = self._parameter(WEIGHT).copy(), self._parameter(BIAS).copy()
        check_row(row, weight.shape[1])
        weight[slot], bias[slot] = row.weight, row.bias
        self._state.parameters[WEIGHT].data = weight
        self._state.parameters[BIAS].data = bias

    def _parameter(self, name: str) -> Float32Array:
        value: Float32Array = self._state.parameters[name].data
        return value


def _load_state(api: Any, bundle: Bundle, checkpoint: Path | None) -> Any:
    path = checkpoint or bundle.path(CHECKPOINT)
    try:
        state = api.CheckpointState.load_checkpoint(str(path))
        bundle_id = bundle.manifest.bundle_id.hex()
        if checkpoint is None:
            state.properties[_STEP] = 0
            state.properties[_BUNDLE] = bundle_id
        elif _BUNDLE not in state.properties or state.properties[_BUNDLE] != bundle_id:
            raise BundleError(
                f"{path} is a checkpoint of another bundle than {bundle.folder}: "
                "take that bundle, or another state folder"
            )
    except RuntimeError as error:
        raise BundleError(f"{path} is no checkpoint of this engine: {_first(error)}") from error
    return state


def _open_slots(state: Any, bundle: Bundle, checkpoint: Path | None) -> ExitSlots:
    kept = dict(state.properties)
    try:
        return ExitSlots(bundle.manifest.classes, str(kept[_OPEN]) if _OPEN in kept else None)
    except ValueError as error:
        raise BundleError(f"{checkpoint} is no checkpoint of this engine: {error}") from error


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
