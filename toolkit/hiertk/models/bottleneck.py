"""The bottleneck: some channels of the features are sent, and widened to all again in the cloud.

The early exit reads all of them, so a device trains and answers as it does without.
See docs/decisions/0017-a-bottleneck-of-the-first-channels.md.
"""

from collections import OrderedDict

import torch
from hiertk_protocol.errors import ModelError
from torch import nn


def narrows(bottleneck: int, channels: int) -> bool:
    """Return whether a bottleneck leaves some of so many channels, and not all."""
    return 1 <= bottleneck < channels


def widened(partition: nn.Module, bottleneck: int, channels: int) -> nn.Module:
    """Return a cloud partition that takes the first channels of the features it was made for.

    It begins with the others at zero, and with these so much larger that lengths stay. Raises
    ModelError if it would not widen.
    """
    if not narrows(bottleneck, channels):
        raise ModelError(
            f"a bottleneck of {bottleneck} channels: the features have {channels} here, take fewer"
        )
    widening = new_widening(bottleneck, channels)
    nn.init.dirac_(widening.weight)
    with torch.no_grad():
        widening.weight.mul_((channels / bottleneck) ** 0.5)
    return nn.Sequential(OrderedDict(widening=widening, partition=partition))


def new_widening(bottleneck: int, channels: int) -> nn.Conv2d:
    """Return a layer (N, bottleneck, H, W) -> (N, channels, H, W)."""
    return nn.Conv2d(bottleneck, channels, kernel_size=1, bias=False)
