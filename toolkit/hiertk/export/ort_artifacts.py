"""Writing ONNX Runtime's training artifacts, with the repairs that release 1.19.2 needs."""

import copy
import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from hiertk_edge.engines.ort_learner import EVAL_MODEL, OPTIMIZER_MODEL
from hiertk_protocol.errors import ExportError
from hiertk_protocol.manifest import AdamW, Manifest
from onnx import numpy_helper

from hiertk.export.ort_rewrites import rewrite_for_ort
from hiertk.models import EdgeModel
from hiertk.ort_generate import Request

_OPSET = 17  # 14 to 21 have gradients in this engine, 22 does not
_READABLE_IR = 8  # the engine reads up to 10, onnx writes newer


def write_ort_artifacts(edge: EdgeModel, draft: Manifest, folder: Path) -> None:
    """Write training, eval and optimizer graph and the checkpoint to `folder/edge`.

    One training step takes images, class bias and labels, and returns loss, features and logits.
    Raises ExportError if the engine has no gradient for an operator.
    """
    assert isinstance(draft.optimizer, AdamW), "the engine has no other"
    target = folder / "edge"
    target.mkdir()
    model = copy.deepcopy(edge)
    rewrite_for_ort(model)
    forward = folder / "forward.onnx"
    operators = _export_forward(model, draft.input.size, draft.classes.capacity, forward)
    buffers = [name for name, _ in model.named_buffers() if "num_batches_tracked" not in name]
    request = Request(
        forward=forward,
        trained=tuple(name for name, _ in model.named_parameters()),
        frozen=tuple(buffers),
        optimizer=draft.optimizer,
        folder=target,
    )
    _generate(request, operators)
    forward.unlink()
    _repair_eval_model(folder / EVAL_MODEL)
    _repair_optimizer_model(folder / OPTIMIZER_MODEL)


def _generate(request: Request, operators: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hiertk.ort_generate"],
        input=request.model_dump_json(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return
    lines = [line for line in done.stderr.splitlines() if "Error: " in line]
    reason = lines[-1] if lines else f"its gradient builder ended with {done.returncode}"
    raise ExportError(
        f"ONNX Runtime cannot train this edge partition: {reason} (operators: "
        f"{', '.join(operators)})"
    )


def _export_forward(edge: EdgeModel, input_size: int, slots: int, path: Path) -> list[str]:
    """Write the forward graph; return its operators.

    Only the TorchScript exporter gives a graph that can be differentiated. Its trace moves the
    running statistics: they are put back. Raises ExportError.
    """
    dynamic = {name: {0: "batch"} for name in ("images", "logits", "features")}
    inputs = (torch.zeros(2, 3, input_size, input_size), torch.zeros(slots))
    buffers = {name: value.numpy().copy() for name, value in edge.named_buffers()}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and says so at length
        try:
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
        except torch.onnx.errors.OnnxExporterError as error:
            first = str(error).strip().splitlines()[0]
            raise ExportError(f"an operator has no form in ONNX: {first}") from error
    model: Any = onnx.load(path)
    for initializer in model.graph.initializer:
        if initializer.name in buffers:
            value = numpy_helper.from_array(buffers[initializer.name], initializer.name)
            initializer.CopyFrom(value)
    onnx.save(model, path)
    return sorted({node.op_type for node in model.graph.node})


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
