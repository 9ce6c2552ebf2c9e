"""The bottleneck: some of the feature channels on the wire, widened to all again in the cloud.

Nothing on the device is trained for it, and the early exit reads all channels: see
docs/decisions/0017-a-bottleneck-leaves-channels-out.md.
"""

from collections import OrderedDict

from hiertk_protocol.errors import ModelError
from hiertk_protocol.manifest import Normalization
from torch import nn

from hiertk.models.normalization import new_normalization


def narrows(bottleneck: int, channels: int) -> bool:
    """Return whether a bottleneck leaves some of so many channels, and not all."""
    return 1 <= bottleneck < channels


def widened(
    partition: nn.Module, bottleneck: int, channels: int, policy: Normalization
) -> nn.Module:
    """Return a cloud partition that takes (N, bottleneck, H, W) in the place of all channels.

    Raises ModelError if they would not be fewer.
    """
    if not narrows(bottleneck, channels):
        raise ModelError(
            f"a bottleneck of {bottleneck} channels: the features have {channels} here, take fewer"
        )
    widening = nn.Sequential(
        OrderedDict(
            convolution=nn.Conv2d(bottleneck, channels, kernel_size=1, bias=False),
            normalization=new_normalization(channels, policy),
            activation=nn.ReLU(),
        )
    )
    return nn.Sequential(OrderedDict(widening=widening, partition=partition))
