"""What a piece of a network costs, from shapes alone: it is run on the meta device.

There tensors have shapes and no values, so that nothing is computed and no memory is taken.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from hiertk.models.networks import parameter_count
from hiertk.models.trace import Shape


@dataclass(frozen=True)
class PieceCosts:
    """Operations of a piece of the network over a batch, and bytes of what it keeps.

    first_backward: backward operations where no gradient of the input is asked for.
    """

    parameters: int
    forward: int
    backward: int
    first_backward: int
    kept: int
    largest: int


def measure_piece(piece: nn.Module, shape: Shape) -> PieceCosts:
    """Run a piece forward and backward for its input's shape."""
    values = torch.empty(shape, device="meta", requires_grad=True)
    kept = _Kept(piece)
    with saved_tensors_hooks(kept.note, lambda tensor: tensor):
        forward, output = _counted(lambda: piece(values))
    backward = _counted_backward(output)
    output = piece(values.detach())
    first_backward = _counted_backward(output) if output.requires_grad else 0
    return PieceCosts(
        parameters=parameter_count(piece),
        forward=forward,
        backward=backward,
        first_backward=first_backward,
        kept=kept.bytes,
        largest=kept.largest,
    )


def _counted_backward(output: Tensor) -> int:
    with _counter() as counter:
        output.sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def _counted(work: Callable[[], Tensor]) -> tuple[int, Tensor]:
    with _counter() as counter:
        result = work()
    return int(counter.get_total_flops()), result


def _counter() -> FlopCounterMode:
    return FlopCounterMode(
        display=False,
        custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward_flops},
    )


def _convolution_backward_flops(
    gradient: Shape, _: Shape, weight: Shape, *rest: object, **_output: object
) -> int:
    """Count a convolution's backward pass, one forward's worth for each gradient asked for.

    torch 2.15's own count forgets groups, and is wrong by their number for depthwise convolutions.
    """
    wanted = cast("Sequence[bool]", rest[-1])
    return 2 * math.prod(gradient) * math.prod(weight[1:]) * (wanted[0] + wanted[1])


class _Kept:
    """Notes what autograd keeps for the backward pass, less the parameters, each storage once."""

    def __init__(self, piece: nn.Module) -> None:
        own = [*piece.parameters(), *piece.buffers()]
        self._parameters = {_storage(value) for value in own}
        self._tensors: dict[int, Tensor] = {}  # held, so that no storage's number is used again

    def note(self, tensor: Tensor) -> Tensor:
        """Take note of a tensor; autograd keeps it as it is."""
        if _storage(tensor) not in self._parameters:
            self._tensors[_storage(tensor)] = tensor
        return tensor

    @property
    def bytes(self) -> int:
        """Bytes of all."""
        return sum(self._sizes())

    @property
    def largest(self) -> int:
        """Bytes of the largest."""
        return max(self._sizes(), default=0)

    def _sizes(self) -> Iterator[int]:
        return (tensor.untyped_storage().nbytes() for tensor in self._tensors.values())


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001  # a meta tensor has no address
