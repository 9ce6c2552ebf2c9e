"""Writing a module as ONNX, with any number of samples.

By torch's older exporter: the newer one needs a further package, and gives the same graphs.
"""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from hiertk_protocol.errors import ConfigError, ModelError
from torch import Tensor, nn

_OPSET = 17  # what runtimes of several years read


@dataclass(frozen=True)
class OnnxNames:
    """What a graph's input and outputs are called."""

    input: str
    outputs: tuple[str, ...]


def write_onnx(
    module: nn.Module, example: Tensor, names: OnnxNames, metadata: dict[str, str], path: Path
) -> None:
    """Write the inference form of a module. example: an input of two samples.

    Raises ConfigError if onnx is not installed, ModelError if ONNX cannot hold the module.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigError("ONNX files need onnx: pip install 'hiertk[cloud]'") from error
    _export(module.eval(), example, names, path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def _export(module: nn.Module, example: Tensor, names: OnnxNames, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and says so at length
        try:
            torch.onnx.export(
                module,
                (example,),
                str(path),
                dynamo=False,
                opset_version=_OPSET,
                input_names=[names.input],
                output_names=list(names.outputs),
                dynamic_axes={name: {0: "batch"} for name in (names.input, *names.outputs)},
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise ModelError(
                f"the network has no form in ONNX: {first[:200]}: take safetensors"
            ) from error
