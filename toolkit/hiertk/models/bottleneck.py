"""The bottleneck: fewer channels on the wire, widened again in the cloud.

The narrowing is trained by the early exit's loss, the widening by the final exit's.
"""

from collections import OrderedDict

from hiertk_protocol.errors import ModelError
from hiertk_protocol.manifest import Normalization
from torch import nn

from hiertk.models.normalization import new_normalization


def narrows(bottleneck: int, channels: int) -> bool:
    """Return whether a bottleneck leaves some of so many channels, and not all."""
    return 1 <= bottleneck < channels


def narrowing(channels: int, bottleneck: int, policy: Normalization) -> nn.Sequential:
    """Return the end of an edge partition: (N, channels, H, W) -> (N, bottleneck, H, W).

    Raises ModelError if it would not be narrower.
    """
    if not narrows(bottleneck, channels):
        raise ModelError(
            f"a bottleneck of {bottleneck} channels: the features have {channels} here, take fewer"
        )
    return _one_by_one(channels, bottleneck, policy)


def widened(
    partition: nn.Module, bottleneck: int, channels: int, policy: Normalization
) -> nn.Module:
    """Return a cloud partition that takes the narrowed features."""
    widening = _one_by_one(bottleneck, channels, policy)
    return nn.Sequential(OrderedDict(widening=widening, partition=partition))


def _one_by_one(inputs: int, outputs: int, policy: Normalization) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            convolution=nn.Conv2d(inputs, outputs, kernel_size=1, bias=False),
            normalization=new_normalization(outputs, policy),
            activation=nn.ReLU(),
        )
    )
