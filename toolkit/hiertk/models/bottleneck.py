"""The bottleneck: features narrowed on the way to the cloud, and widened again there.

The narrowing is fixed and the early exit reads what comes before it, so that it costs the device no
training and no accuracy: docs/decisions/0017-a-bottleneck-that-is-not-trained.md.
"""

from collections import OrderedDict

import torch
from hiertk_protocol.errors import ModelError
from hiertk_protocol.manifest import Normalization
from torch import Tensor, nn
from torch.nn.functional import conv2d

from hiertk.models.normalization import new_normalization


def narrows(bottleneck: int, channels: int) -> bool:
    """Return whether a bottleneck leaves some of so many channels, and not all."""
    return 1 <= bottleneck < channels


class Narrowing(nn.Module):
    """A fixed projection to fewer channels: (N, channels, H, W) -> (N, bottleneck, H, W).

    Its rows are random and orthonormal, so that lengths and distances nearly stay. Source: Johnson
    and Lindenstrauss, Extensions of Lipschitz mappings into a Hilbert space, 1984.
    """

    projection: Tensor

    def __init__(self, channels: int, bottleneck: int) -> None:
        """Draw the projection. Raises ModelError if it would not narrow."""
        super().__init__()
        if not narrows(bottleneck, channels):
            raise ModelError(
                f"a bottleneck of {bottleneck} channels: the features have {channels} here, take "
                "fewer"
            )
        rows = nn.init.orthogonal_(torch.empty(bottleneck, channels))
        self.register_buffer("projection", rows.reshape(bottleneck, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        return conv2d(features, self.projection)


def widened(
    partition: nn.Module, bottleneck: int, channels: int, policy: Normalization
) -> nn.Module:
    """Return a cloud partition that takes the narrowed features; the widening is trained."""
    widening = nn.Sequential(
        OrderedDict(
            convolution=nn.Conv2d(bottleneck, channels, kernel_size=1, bias=False),
            normalization=new_normalization(channels, policy),
            activation=nn.ReLU(),
        )
    )
    return nn.Sequential(OrderedDict(widening=widening, partition=partition))
