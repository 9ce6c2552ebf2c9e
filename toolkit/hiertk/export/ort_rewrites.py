"""Operators that ONNX Runtime Training 1.19.2 has no gradient for, written with those that have.

The parameters keep their names, and the parity gate proves the rewritten step equal to the
original. Only single operators are rewritten, never the network's structure.
"""

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn
from torch.nn import functional


def rewrite_for_ort(model: nn.Module) -> None:
    """Replace modules and functions without a gradient in the engine, in place."""
    for name, module in list(model.named_modules()):
        substitute = _SUBSTITUTES.get(_kind(module))
        if substitute is not None:
            model.set_submodule(name, substitute(module))
    for module in list(model.modules()):
        if isinstance(module, fx.GraphModule):
            _rewrite_functions(module)


class HardSwish(nn.Module):
    """x * relu6(x + 3) / 6: relu6 is a Clip, which has a gradient."""

    def forward(self, values: Tensor) -> Tensor:
        return _hardswish(values)


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6."""

    def forward(self, values: Tensor) -> Tensor:
        return _hardsigmoid(values)


class LayerNorm(nn.Module):
    """Layer normalization over the last dimension, from means and differences."""

    def __init__(self, layer: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps

    def forward(self, values: Tensor) -> Tensor:
        return _standardized(values, self.eps) * self.weight + self.bias


class ChannelLayerNorm(LayerNorm):
    """Layer normalization over the channels of (N, C, H, W)."""

    def forward(self, values: Tensor) -> Tensor:
        return super().forward(values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GroupNorm(nn.Module):
    """Group normalization, from means and differences over (N, groups, values of a group)."""

    def __init__(self, layer: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        self.groups = layer.num_groups

    def forward(self, values: Tensor) -> Tensor:
        grouped = values.reshape(values.shape[0], self.groups, -1)
        standardized = _standardized(grouped, self.eps).reshape(values.shape)
        return standardized * self.weight.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)


def _standardized(values: Tensor, eps: float) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + eps)


def _kind(module: nn.Module) -> str:
    """Name a module's class, its package told apart: torch, torchvision or timm."""
    return f"{type(module).__module__.split('.')[0]}.{type(module).__name__}"


_SUBSTITUTES: dict[str, Callable[..., nn.Module]] = {
    "torch.Hardswish": lambda _: HardSwish(),
    "torch.Hardsigmoid": lambda _: HardSigmoid(),
    "torch.LayerNorm": LayerNorm,
    "torchvision.LayerNorm2d": ChannelLayerNorm,
    "timm.LayerNorm": LayerNorm,
    "timm.LayerNorm2d": ChannelLayerNorm,
    "torch.GroupNorm": GroupNorm,
}


def _hardswish(values: Tensor) -> Tensor:
    return values * _hardsigmoid(values)


def _hardsigmoid(values: Tensor) -> Tensor:
    return functional.relu6(values + 3) / 6


_FUNCTIONS = {functional.hardswish: _hardswish, functional.hardsigmoid: _hardsigmoid}


def _rewrite_functions(module: fx.GraphModule) -> None:
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target in _FUNCTIONS:
            node.target = _FUNCTIONS[node.target]
            node.kwargs = {}  # only `inplace`
    module.recompile()
