"""What stock ExecuTorch 1.5.1 cannot do, and why its training export is not used (decision 0008).

A test that fails here is good news: a newer release can do it, and something of ours may go.
"""

from pathlib import Path

import hiertk.export.executorch_import  # noqa: F401  # quietly, before anything else does
import pytest
import torch
from executorch.backends.xnnpack.serialization import xnnpack_graph_schema as schema
from hiertk.export.executorch_artifacts import program_around
from hiertk.export.xnnpack.graph import Graph
from hiertk_edge.engines.executorch_program import open_file
from torch import Tensor, nn
from torch.export.experimental import _export_forward_backward

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Step(nn.Module):
    """A network with its loss, as ExecuTorch's training export wants it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.layers(images)
        return result.square().mean()


def lowered(module: nn.Module, images: Tensor) -> bytes:
    from executorch.exir import EdgeCompileConfig, to_edge

    joint = _export_forward_backward(torch.export.export(module, (images,), strict=False))
    edge = to_edge(joint, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    return bytes(edge.to_executorch().buffer)


def test_a_convolution_by_weights_that_change_is_refused(tmp_path: Path) -> None:
    """So convolutions are compiled into matrix products (`hiertk.export.xnnpack.convolution`)."""
    graph = Graph()
    images, weights, bias = (graph.input(shape) for shape in ((1, 8, 8, 4), (4, 3, 3, 4), (4,)))
    graph.output(
        graph.emit(
            schema.XNNConv2d,
            [images, weights, bias],
            (1, 6, 6, 4),
            padding_top=0, padding_right=0, padding_bottom=0, padding_left=0,
            kernel_height=3, kernel_width=3, subsampling_height=1, subsampling_width=1,
            dilation_height=1, dilation_width=1, group_input_channels=4,
            group_output_channels=4, groups=1, adjustment_height=0, adjustment_width=0,
            input1_id=images.id, filter_id=weights.id, bias_id=bias.id,
        )
    )  # fmt: skip
    inputs = (torch.zeros(1, 8, 8, 4), torch.zeros(4, 3, 3, 4), torch.zeros(4))
    path = tmp_path / "program.pte"
    path.write_bytes(program_around(graph, inputs, [(1, 6, 6, 4)]))
    with pytest.raises(RuntimeError):
        open_file(path).run_method("forward", inputs)


def test_batch_normalization_in_training_has_no_kernel() -> None:
    with pytest.raises(RuntimeError, match="_native_batch_norm_legit_functional"):
        lowered(Step(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), torch.randn(2, 3, 8, 8))


def test_the_gradient_of_max_pooling_is_wrong(tmp_path: Path) -> None:
    """Without an error: pytorch/executorch issue 21686."""
    torch.manual_seed(0)
    module = Step(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2))
    images = torch.randn(2, 3, 8, 8)
    module(images).backward()
    weight = module.get_parameter("layers.0.weight")
    path = tmp_path / "program.pte"
    path.write_bytes(lowered(module, images))
    outputs = open_file(path).run_method("forward", (images,))
    gradients = [value for value in outputs if value.shape == weight.shape]
    assert gradients
    assert weight.grad is not None
    assert not torch.allclose(gradients[0], weight.grad, rtol=1e-2)
