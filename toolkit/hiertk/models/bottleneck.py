"""The bottleneck: features narrowed on the way to the cloud, and widened again there.

The narrowing is fixed, and the early exit reads what comes before it: a device trains and answers
as it does without. The widening begins as the way back, and is trained.
See docs/decisions/0017-a-bottleneck-that-is-not-trained.md.
"""

from collections import OrderedDict

import torch
from hiertk_protocol.errors import ModelError
from torch import Tensor, nn
from torch.nn.functional import conv2d


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


def widened(partition: nn.Module, narrowing: Narrowing) -> nn.Module:
    """Return a cloud partition that takes narrowed features.

    It begins by projecting them back, to the length that features have before they are narrowed.
    """
    widening = new_widening(*narrowing.projection.shape[:2])
    with torch.no_grad():
        back = narrowing.projection.transpose(0, 1)
        widening.weight.copy_(back * (back.shape[0] / back.shape[1]) ** 0.5)
    return nn.Sequential(OrderedDict(widening=widening, partition=partition))


def new_widening(bottleneck: int, channels: int) -> nn.Conv2d:
    """Return a layer (N, bottleneck, H, W) -> (N, channels, H, W)."""
    return nn.Conv2d(bottleneck, channels, kernel_size=1, bias=False)
