"""The process that converts: a ConversionRequest as JSON on standard input, the file it names."""

import os
import sys

import torch
from hiertk_protocol import console
from safetensors.torch import save_file
from torch import Tensor, nn

from hiertk_cloud.conversion.modules import CloudModel, MergedModel, rebuild_sides
from hiertk_cloud.conversion.onnx_file import OnnxNames, write_onnx
from hiertk_cloud.conversion.request import ConversionRequest
from hiertk_cloud.conversion.weights import load_cloud_weights, load_edge_weights

_NICER = 10  # training goes first


def convert(request: ConversionRequest) -> None:
    """Write the file that is asked for. Raises ModelError or ConfigError."""
    manifest = request.manifest
    sides = rebuild_sides(manifest, trusted_factory=request.trusted_factory)
    metadata = load_cloud_weights(request.cloud, sides.cloud)
    if request.edge is None:
        alone = CloudModel(sides.cloud, manifest.classes)
        names = OnnxNames("features", ("final_exit_logits",))
        _write(request, alone, torch.zeros(2, *manifest.features.shape), names, metadata)
        return
    edge_step = load_edge_weights(request.edge, sides.edge, manifest.bundle_id)
    merged = MergedModel(sides.edge, sides.cloud, manifest.classes)
    metadata |= {"format": "hiertk merged model 1", "edge_step": str(edge_step)}
    names = OnnxNames("images", ("final_exit_logits", "early_exit_logits"))
    _write(request, merged, torch.zeros(2, *manifest.input.shape), names, metadata)


def _write(
    request: ConversionRequest,
    module: nn.Module,
    example: Tensor,
    names: OnnxNames,
    metadata: dict[str, str],
) -> None:
    if request.file_format == "onnx":
        write_onnx(module, example, names, metadata, request.out)
        return
    tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(tensors, request.out, metadata)


def main() -> None:
    """Convert what standard input asks for."""
    os.nice(_NICER)
    torch.set_num_threads(1)
    convert(ConversionRequest.model_validate_json(sys.stdin.read()))


if __name__ == "__main__":
    console.run(main)
