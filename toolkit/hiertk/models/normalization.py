"""The normalization policy: batch statistics trained, frozen statistics, or group normalization."""

import torch
from hiertk_protocol.errors import ModelError
from hiertk_protocol.manifest import Normalization
from torch import Tensor, nn

_GROUPS = 32  # of Wu and He, Group Normalization, 2018; fewer where channels do not divide


class FrozenStatistics(nn.Module):
    """Batch normalization whose statistics stay as they were loaded; scale and shift are trained.

    (N, C, H, W) -> (N, C, H, W), the same in training and inference.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight = layer.weight
        self.bias = layer.bias
        self.eps = layer.eps
        self.register_buffer("running_mean", layer.running_mean)
        self.register_buffer("running_var", layer.running_var)

    def forward(self, values: Tensor) -> Tensor:
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return values * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


def has_batch_normalization(model: nn.Module) -> bool:
    """Return whether there is a layer that a policy can replace."""
    return any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())


def normalize(model: nn.Module, policy: Normalization) -> None:
    """Put the policy's layers in place of every batch normalization, under the same names.

    Raises ModelError for a network that has none, or of a kind of its own.
    """
    if policy == "batch":
        return
    if not has_batch_normalization(model):
        raise ModelError(f"the network has no batch normalization: {policy} changes nothing")
    layers = [
        (name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)
    ]
    for name, layer in layers:
        if type(layer) is not nn.BatchNorm2d:
            raise ModelError(
                f"{name} is a {type(layer).__name__}: normalization {policy} can replace plain "
                "batch normalization only"
            )
        if policy == "frozen":
            model.set_submodule(name, FrozenStatistics(layer))
        else:
            model.set_submodule(name, _group_normalization(layer.num_features))


def new_normalization(channels: int, policy: Normalization) -> nn.Module:
    """Return a fresh layer for a layer of our own; frozen statistics would be no statistics."""
    return _group_normalization(channels) if policy != "batch" else nn.BatchNorm2d(channels)


def _group_normalization(channels: int) -> nn.GroupNorm:
    groups = next(count for count in range(min(_GROUPS, channels), 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)
