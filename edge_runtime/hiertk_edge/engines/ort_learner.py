"""The Learner on ONNX Runtime's on-device training."""

from pathlib import Path
from typing import Any

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError
from hiertk_protocol.files import atomic_file

from hiertk_edge.engines.ort_engine import check_version, import_engine
from hiertk_edge.learner import (
    Float32Array,
    SlotArray,
    StepResult,
    check_images,
    check_labels,
    check_learning_rate,
)

TRAINING_MODEL = "edge/training_model.onnx"
EVAL_MODEL = "edge/eval_model.onnx"
OPTIMIZER_MODEL = "edge/optimizer_model.onnx"
CHECKPOINT = "edge/checkpoint"
_STEP = "hiertk_edge_step"
_BUNDLE = "hiertk_bundle_id"


class OrtLearner:
    """See `Learner`. The arena is off: it costs a third of the memory and gains nothing here."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, checkpoint: Path | None = None) -> None:
        check_version(bundle.manifest.engine.version)
        runtime, api = import_engine()
        self._manifest = bundle.manifest
        self._bias = bundle.manifest.classes.bias()
        self._api = api
        self._state = _load_state(api, bundle, checkpoint)
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

    def evaluate(self, images: Float32Array, labels: SlotArray) -> StepResult:
        return self._run(images, labels, training=False)

    def save(self, path: Path) -> None:
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

    def _run(self, images: Float32Array, labels: SlotArray, *, training: bool) -> StepResult:
        check_images(images, self._manifest.input.shape)
        check_labels(labels, len(images), len(self._manifest.classes.names))
        if training != self._training:
            self._module.train(training)
            self._training = training
        loss, features, logits = self._module(images, self._bias, labels)
        return StepResult(float(loss), features, logits)


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


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
