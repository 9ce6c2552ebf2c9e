"""The manifest's optimizer in PyTorch."""

import torch
from hiertk_protocol.manifest import OptimizerInfo

from hiertk.models import EdgeModel


def adamw(edge: EdgeModel, info: OptimizerInfo) -> torch.optim.AdamW:
    """Return the manifest's optimizer over an edge model."""
    return torch.optim.AdamW(
        edge.parameters(),
        lr=info.learning_rate,
        betas=(info.beta1, info.beta2),
        eps=info.epsilon,
        weight_decay=info.weight_decay,
    )
