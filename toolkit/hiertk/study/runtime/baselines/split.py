"""Split learning: one network in two places, features to the cloud and gradients back.

Source: Vepakomma, Gupta, Swedish, Raskar, Split learning for health, 2018; labels go along.
"""

import math

import numpy as np
import torch
from hiertk_protocol.errors import ProtocolError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW

from hiertk.study.runtime.baselines.pieces import Batch, Kind, Slots, Values

_HALF_ROOM = 2.0**14  # float16 ends at 65,504


class SplitEdge:
    """The edge partition: forward, then the backward pass with gradients from the cloud."""

    def __init__(self, module: nn.Module, rate: float) -> None:
        self.module = module
        self._optimizer = adamw(module, rate)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (N, C, H, W) of images (N, 3, S, S), to be given to `update`."""
        self.module.train()
        features: Tensor = self.module(images)
        return features

    def update(self, features: Tensor, gradients: Tensor) -> None:
        """Take a step down the gradients of these features."""
        self._optimizer.zero_grad(set_to_none=True)
        features.backward(gradients)  # type: ignore[no-untyped-call]
        self._optimizer.step()


class SplitCloud:
    """The cloud partition: the loss, and the gradients of the features that came."""

    def __init__(self, module: nn.Module, rate: float) -> None:
        self.module = module
        self._optimizer = adamw(module, rate)

    def gradients(self, features: Tensor, labels: Tensor) -> Tensor:
        """Do both passes; return the features' gradients, which the device waits for."""
        self.module.train()
        features = features.detach().requires_grad_()
        self._optimizer.zero_grad(set_to_none=True)
        cross_entropy(self.module(features), labels).backward()  # type: ignore[no-untyped-call]
        assert features.grad is not None
        return features.grad

    def update(self) -> None:
        """Take the step that the gradients are for."""
        self._optimizer.step()


def adamw(module: nn.Module, rate: float) -> AdamW:
    """Return the optimizer of all ways, as the cloud's trainer has it."""
    return AdamW(module.parameters(), lr=rate, weight_decay=0.0, fused=True)


def features_batch(features: Tensor, labels: Slots, number: int, *, is_half: bool) -> Batch:
    """Return features as they are sent."""
    values = _as_values(features.detach(), is_half=is_half)
    return Batch(Kind.FEATURES, number, labels, values=values)


def gradients_batch(gradients: Tensor, number: int, *, is_half: bool) -> Batch:
    """Return gradients as they are sent: as float16 they are scaled by a power of two."""
    scale = 1.0
    if is_half:
        largest = float(gradients.abs().max())
        scale = 2.0 ** math.floor(math.log2(_HALF_ROOM / largest)) if largest > 0 else 1.0
    values = _as_values(gradients * scale, is_half=is_half)
    return Batch(Kind.GRADIENTS, number, np.empty(0, np.int64), values=values, scale=scale)


def tensor_of(batch: Batch, kind: Kind, shape: torch.Size | None = None) -> Tensor:
    """Return what a batch of this kind and shape holds. Raises ProtocolError for another."""
    if batch.kind is not kind or batch.values is None:
        raise ProtocolError(f"a batch of {batch.kind.name.lower()} instead of {kind.name.lower()}")
    if shape is not None and batch.values.shape != shape:
        raise ProtocolError(f"values of shape {batch.values.shape} instead of {tuple(shape)}")
    return torch.from_numpy(batch.values.astype(np.float32) / np.float32(batch.scale))


def labels_of(batch: Batch, classes: int) -> Tensor:
    """Return a batch's labels (N,) int64. Raises ProtocolError if one is no class."""
    if len(batch.labels) != len(batch) or batch.labels.max() >= classes:
        raise ProtocolError(f"labels of batch {batch.number} are not of {classes} classes")
    return torch.from_numpy(batch.labels)


def _as_values(tensor: Tensor, *, is_half: bool) -> Values:
    values: Values = tensor.numpy()
    return values.astype(np.float16) if is_half else values
