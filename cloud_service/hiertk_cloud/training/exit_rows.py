"""The rows of the final exit's last linear layer: one per class slot, wherever training has them.

A row is in the module, in the average of its weights and in the optimizer's moments.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hiertk_protocol.new_class import Float32Array, imprinted_row
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_LARGEST = 1e15  # of what the last layer sees: beyond it no step can be taken either


@dataclass(frozen=True)
class _Exit:
    """One network and its last linear layer."""

    network: nn.Module
    layer: nn.Linear


class ExitRows:
    """The rows of one learner's final exit. name: of the layer, as `find_final_layer` gives it."""

    def __init__(
        self, module: nn.Module, average: AveragedModel, optimizer: torch.optim.Optimizer, name: str
    ) -> None:
        self._exits = [
            _Exit(network, _layer(inner, name))
            for network, inner in ((module, module), (average, average.module))
        ]
        parameters = list(self._exits[0].layer.parameters())
        self._first = [optimizer.state[one]["exp_avg"] for one in parameters]
        self._second = [optimizer.state[one]["exp_avg_sq"] for one in parameters]
        weights = [one for place in self._exits for one in place.layer.parameters()]
        self._tensors: list[Tensor] = [*weights, *self._first, *self._second]

    @torch.no_grad()
    def copy(self, slots: Sequence[int]) -> list[Tensor]:
        """Return these rows as they are, for `put_back`."""
        return [tensor[list(slots)].clone() for tensor in self._tensors]

    @torch.no_grad()
    def put_back(self, slots: Sequence[int], rows: Sequence[Tensor]) -> None:
        """Make these rows what they were."""
        for tensor, old in zip(self._tensors, rows, strict=True):
            tensor[list(slots)] = old

    @torch.no_grad()
    def renew(self, slot: int, seed: int) -> None:
        """Make a row as if it had never been trained, drawn as torch draws linear layers."""
        generator = torch.Generator().manual_seed(seed)
        bound = self._exits[0].layer.in_features ** -0.5
        for own, averaged in zip(
            self._exits[0].layer.parameters(), self._exits[1].layer.parameters(), strict=True
        ):
            own[slot] = (2 * torch.rand(own[slot].shape, generator=generator) - 1) * bound
            averaged[slot] = own[slot]
        for moment in (*self._first, *self._second):
            moment[slot] = 0

    @torch.no_grad()
    def imprint(
        self, features: Tensor, labels: Tensor, slots: Sequence[int], known: Sequence[int]
    ) -> None:
        """Give classes their first rows, from samples that a step is to train on.

        features: (N, C, H, W) float32; labels: (N,) int64. slots: those to imprint. known: those
        that are open already. Module and average are each imprinted by what they see themselves.
        """
        for place in self._exits:
            seen = _inputs_of(place, features)
            if np.abs(seen).max() < _LARGEST:  # not so for what is not a number
                _imprint(place.layer, seen, labels.numpy(), slots, known)
        self._temper(slots, known)

    def _temper(self, slots: Sequence[int], known: Sequence[int]) -> None:
        """Let new rows step as carefully as the known ones do on average.

        From nothing, Adam's first steps would each be several times the learning rate: too much for
        a row that points the right way.
        """
        for moment in self._first:
            moment[list(slots)] = 0
        for moment in self._second:
            moment[list(slots)] = moment[list(known)].mean(dim=0) if known else 0.0


def find_final_layer(network: nn.Module, features: Tensor) -> str | None:
    """Return the name of the linear layer whose output is the network's.

    features: any input, (N, C, H, W) float32. None if there is no such layer, as where the logits
    are a pooled convolution.
    """
    outputs: list[tuple[str, Tensor]] = []
    handles = [
        layer.register_forward_hook(
            lambda _layer, _inputs, output, name=name: outputs.append((name, output))
        )
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    network.eval()
    try:
        with torch.no_grad():
            logits = network(features)
    finally:
        for handle in handles:
            handle.remove()
    return next((name for name, output in reversed(outputs) if output is logits), None)


def _layer(network: nn.Module, name: str) -> nn.Linear:
    layer = network.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def _inputs_of(place: _Exit, features: Tensor) -> Float32Array:
    """Return what a network's last layer sees, (N, D) float32, in inference form."""
    inputs: list[Tensor] = []
    handle = place.layer.register_forward_pre_hook(lambda _layer, seen: inputs.append(seen[0]))
    place.network.eval()
    try:
        place.network(features)
    finally:
        handle.remove()
    seen: Float32Array = inputs[-1].numpy()
    return seen


def _imprint(
    layer: nn.Linear,
    seen: Float32Array,
    labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    slots: Sequence[int],
    known: Sequence[int],
) -> None:
    bias = layer.bias if layer.bias is not None else torch.zeros(layer.out_features)
    rows = list(known)
    for slot in slots:
        is_example = labels == slot
        others = seen[~is_example]
        row = imprinted_row(
            seen[is_example],
            others.mean(axis=0, dtype=np.float64).astype(np.float32) if len(others) else None,
            layer.weight[rows].numpy(),
            bias[rows].numpy(),
        )
        layer.weight[slot] = torch.from_numpy(row.weight)
        bias[slot] = row.bias
        rows.append(slot)
