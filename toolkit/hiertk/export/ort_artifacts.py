"""Writing ONNX Runtime's training artifacts, with the repairs that release 1.19.2 needs."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from hiertk_edge.ort_engine import import_engine
from hiertk_edge.ort_learner import EVAL_MODEL, OPTIMIZER_MODEL
from hiertk_protocol.errors import ExportError
from hiertk_protocol.manifest import OptimizerInfo
from onnx import numpy_helper

from hiertk.models import EdgeModel

_OPSET = 17  # 14 to 21 have gradients in this engine, 22 does not
_READABLE_IR = 8  # the engine reads up to 10, onnx writes newer


def write_ort_artifacts(
    edge: EdgeModel, input_size: int, slots: int, optimizer: OptimizerInfo, folder: Path
) -> None:
    """Write training, eval and optimizer graph and the checkpoint to `folder/edge`.

    One training step takes images, class bias and labels, and returns loss, features and logits.
    Raises ExportError if the engine has no gradient for an operator.
    """
    import_engine()
    from onnxruntime.training import artifacts, onnxblock

    target = folder / "edge"
    target.mkdir()
    forward = _export_forward(edge, input_size, slots, folder / "forward.onnx")
    trained = [name for name, _ in edge.named_parameters()]
    frozen = [name for name, _ in edge.named_buffers() if not name.endswith("num_batches_tracked")]
    try:
        with _engine_log_discarded():
            artifacts.generate_artifacts(
                forward,
                requires_grad=trained,
                frozen_params=frozen,
                loss=artifacts.LossType.CrossEntropyLoss,
                loss_input_names=["logits"],
                additional_output_names=["features", "logits"],
                optimizer=onnxblock.optim.AdamW(
                    betas=(optimizer.beta1, optimizer.beta2),
                    eps=optimizer.epsilon,
                    weight_decay=optimizer.weight_decay,
                ),
                artifact_directory=str(target),
            )
    except (RuntimeError, ValueError) as error:
        raise ExportError(
            f"ONNX Runtime cannot train this edge partition: {str(error).splitlines()[0]}"
        ) from error
    _repair_eval_model(folder / EVAL_MODEL)
    _repair_optimizer_model(folder / OPTIMIZER_MODEL)


def _export_forward(edge: EdgeModel, input_size: int, slots: int, path: Path) -> Any:
    """Return the forward graph; only the TorchScript exporter gives one that can be differentiated.

    `path` serves for the moment. Tracing moves the running statistics: they are put back.
    """
    dynamic = {name: {0: "batch"} for name in ("images", "logits", "features")}
    inputs = (torch.zeros(2, 3, input_size, input_size), torch.zeros(slots))
    buffers = {name: value.numpy().copy() for name, value in edge.named_buffers()}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and says so at length
        torch.onnx.export(
            edge.train(),
            inputs,
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            training=torch.onnx.TrainingMode.TRAINING,
            do_constant_folding=False,
            keep_initializers_as_inputs=False,
            input_names=["images", "class_bias"],
            output_names=["logits", "features"],
            dynamic_axes=dynamic,
        )
    model: Any = onnx.load(path)
    path.unlink()
    for initializer in model.graph.initializer:
        if initializer.name in buffers:
            value = numpy_helper.from_array(buffers[initializer.name], initializer.name)
            initializer.CopyFrom(value)
    return model


@contextmanager
def _engine_log_discarded() -> Iterator[None]:
    """Discard what the gradient builder logs: it ignores the engine's log level."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with Path(os.devnull).open("w") as nowhere:
            for descriptor in (1, 2):
                os.dup2(nowhere.fileno(), descriptor)
            yield
    finally:
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)


def _repair_eval_model(path: Path) -> None:
    """Drop BatchNormalization's training outputs, which the inference form must not have."""
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            del node.output[1:]
    onnx.save(model, path)


def _repair_optimizer_model(path: Path) -> None:
    """Make it readable for the engine, and AdamW the variant that PyTorch has."""
    model: Any = onnx.load(path)
    model.ir_version = _READABLE_IR
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "adam_mode":
                attribute.i = 0
    onnx.save(model, path)
