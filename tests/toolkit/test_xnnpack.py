"""Every rule of the compiler gives on the real engine what PyTorch gives, forward and backward."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hiertk.export.executorch_artifacts import lower
from hiertk.export.joint import trace
from hiertk.export.xnnpack.graph import Graph
from hiertk.export.xnnpack.layout import chunk_sizes
from hiertk.export.xnnpack.operators import Operators
from hiertk.export.xnnpack.translate import translate
from hiertk_edge.engines.executorch_program import open_file
from hiertk_protocol.errors import ExportError
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as nn

SAMPLES = 5
Functions = dict[str, tuple[Callable[..., Tensor], list[Tensor]]]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradients_of(functions: Functions) -> Callable[..., tuple[Tensor, ...]]:
    """Return images, weights... -> all results and gradients of something of them."""

    def run(images: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        given = iter(weights)
        found: list[Tensor] = []
        for function, own in functions.values():
            leaves = [
                value.detach().requires_grad_() for value in (images, *(next(given) for _ in own))
            ]
            result = function(*leaves)
            gradients = torch.autograd.grad(result, leaves, result * result)
            found += [result.detach(), *gradients]
        return tuple(found)

    return run


def check(tmp_path: Path, images: Tensor, functions: Functions) -> None:
    """Compile all functions into one program and compare each of its outputs with PyTorch's."""
    inputs = (images, *(weight for _, own in functions.values() for weight in own))
    module = trace(gradients_of(functions), inputs)
    path = tmp_path / "program.pte"
    path.write_bytes(lower(module, inputs))
    results = open_file(path).run_method("forward", inputs)
    wanted = gradients_of(functions)(*inputs)
    assert len(results) == len(wanted)
    names = [
        f"{name}, output {index}"
        for name, (_, own) in functions.items()
        for index in range(2 + len(own))
    ]
    for name, result, reference in zip(names, results, wanted, strict=True):
        scale = float(reference.norm()) + 1e-3
        assert float((result - reference).norm()) / scale < 2e-5, name


def convolution(
    weights: tuple[int, ...], *, bias: bool = False, **options: Any
) -> tuple[Callable[..., Tensor], list[Tensor]]:
    own = [noise(*weights)] + ([noise(weights[0])] if bias else [])
    return lambda images, *given: nn.conv2d(images, *given, **options), own


def test_convolutions(tmp_path: Path) -> None:
    """Of several chunks; odd sizes; more and fewer outputs than inputs."""
    check(
        tmp_path,
        noise(SAMPLES, 12, 27, 30),
        {
            "3x3": convolution((9, 12, 3, 3), padding=1),
            "3x3, bias, valid": convolution((9, 12, 3, 3), bias=True),
            "1x1": convolution((4, 12, 1, 1), bias=True),
            "1x1, stride 2": convolution((16, 12, 1, 1), stride=2),
            "3x3, stride 2": convolution((9, 12, 3, 3), stride=2, padding=1),
            "7x7, stride 2": convolution((3, 12, 7, 7), stride=2, padding=3),
            "1x3": convolution((5, 12, 1, 3), padding=(0, 1)),
            "groups": convolution((6, 4, 3, 3), padding=1, groups=3),
            "depthwise": convolution((12, 1, 3, 3), bias=True, padding=1, groups=12),
            "depthwise, stride 2": convolution((12, 1, 5, 5), padding=2, stride=2, groups=12),
        },
    )


def test_a_stem_of_three_channels(tmp_path: Path) -> None:
    """Of chunks of two samples, the last one smaller."""
    check(
        tmp_path,
        noise(SAMPLES, 3, 20, 21),
        {
            "3x3": convolution((8, 3, 3, 3), padding=1),
            "7x7, stride 2": convolution((8, 3, 7, 7), stride=2, padding=3),
        },
    )


def test_activation_functions(tmp_path: Path) -> None:
    check(
        tmp_path,
        6 * noise(SAMPLES, 4, 20, 20),
        {
            "relu": (nn.relu, []),
            "relu6": (nn.relu6, []),
            "hardswish": (nn.hardswish, []),
            "hardsigmoid": (nn.hardsigmoid, []),
            "sigmoid": (torch.sigmoid, []),
            "silu": (nn.silu, []),
        },
    )


def test_pooling(tmp_path: Path) -> None:
    """Of values with ties, where PyTorch gives the gradient to the first."""
    check(
        tmp_path,
        noise(SAMPLES, 4, 16, 18).relu(),
        {
            "2x2": (lambda x: nn.max_pool2d(x, 2), []),
            "3x3, stride 2": (lambda x: nn.max_pool2d(x, 3, 2, 1), []),
            "3x3, stride 1": (lambda x: nn.max_pool2d(x, 3, 1, 1), []),
            "mean": (lambda x: nn.avg_pool2d(x, 2), []),
            "whole": (lambda x: x.mean((2, 3)), []),
            "squeeze and excite": (
                lambda x, w: x * nn.conv2d(x.mean((2, 3), keepdim=True), w).sigmoid(),
                [noise(4, 4, 1, 1)],
            ),
        },
    )


def test_normalization(tmp_path: Path) -> None:
    def batch(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return nn.batch_norm(images, torch.zeros(8), torch.zeros(8), weight, bias, training=True)

    affine = [noise(8), noise(8, seed=1)]
    check(
        tmp_path,
        3 + noise(SAMPLES, 8, 16, 18),
        {"batch": (batch, affine), "group": (lambda x, w, b: nn.group_norm(x, 4, w, b), affine)},
    )


def test_normalization_over_many_values_keeps_its_digits(tmp_path: Path) -> None:
    """As much as PyTorch does: one float32 sum of all would lose three of them."""

    def batch(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return nn.batch_norm(images, torch.zeros(2), torch.zeros(2), weight, bias, training=True)

    images = 3 + noise(2, 2, 480, 512)
    check(tmp_path, images, {"batch": (batch, [noise(2), noise(2, seed=1)])})


def test_moving_channels(tmp_path: Path) -> None:
    def shuffle(images: Tensor) -> Tensor:
        parts = images.reshape(SAMPLES, 2, 4, 16, 18).transpose(1, 2)
        return parts.reshape(images.shape) * 2

    def regroup(images: Tensor) -> Tensor:
        first, second = images.chunk(2, 1)
        return torch.cat([second * 2, images, first], 1)

    check(tmp_path, noise(SAMPLES, 8, 16, 18), {"shuffle": (shuffle, []), "regroup": (regroup, [])})


def test_an_operator_without_a_rule_is_named() -> None:
    module = make_fx(torch.erfinv, tracing_mode="fake")(noise(2, 3, 4, 4))
    with pytest.raises(ExportError, match=r"ExecuTorch cannot train aten\.erfinv: it has no rule"):
        translate(module)
    dilated = make_fx(lambda x, w: nn.conv2d(x, w, dilation=2), tracing_mode="fake")(
        noise(2, 3, 8, 8), noise(4, 3, 3, 3)
    )
    with pytest.raises(ExportError, match=r"aten\.convolution: with dilation \[2, 2\]"):
        translate(dilated)


def test_small_images_share_a_chunk_and_large_ones_do_not() -> None:
    assert chunk_sizes(5, 32, 32) == (1, 1, 1, 1, 1)
    assert chunk_sizes(10, 16, 16) == (4, 4, 2)
    assert chunk_sizes(7, 1, 1) == (7,)
    assert chunk_sizes(2, 224, 224) == (1, 1)


def test_a_chunk_is_finished_before_the_next_begins() -> None:
    """Up to a reduction over all chunks, which everything after it waits for."""
    graph = Graph()
    on = Operators(graph)
    whole = graph.input((2, 4, 4, 4))
    first, second = on.samples(whole, 0, 1, 0), on.samples(whole, 1, 1, 1)
    doubled = [on.scale(chunk, 2.0) for chunk in (first, second)]
    squared = [on.multiply(chunk, chunk) for chunk in doubled]
    total = on.add(squared[0], squared[1])
    back = on.multiply(doubled[0], total)
    assert [value.chunk for value in (*squared, total, back)] == [0, 1, None, 0]
    assert squared[1].phase < total.phase == back.phase
