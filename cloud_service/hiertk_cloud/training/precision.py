"""The arithmetic of the cloud partition's training steps.

Source: Micikevicius et al., Mixed Precision Training, 2018; bfloat16 needs no scaled loss.
"""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def arithmetic(precision: Precision, device: str = "cpu") -> torch.autocast:
    """Return the context of a forward pass on a type of device.

    With bfloat16, convolutions and matrix products are done in it, in the backward pass as well;
    weights, their gradients, running statistics and losses stay float32.
    """
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")
