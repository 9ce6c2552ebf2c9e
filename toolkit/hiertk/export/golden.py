"""The reference's first training steps on real images: what every engine is checked against."""

from pathlib import Path

import numpy as np
import torch
from hiertk_protocol.bundle import GOLDEN
from hiertk_protocol.manifest import ClassInfo, InputInfo, OptimizerInfo
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from hiertk.data import load
from hiertk.models import EdgeModel
from hiertk.training import update

STEPS = 3
BATCH = 8


def golden_batches(info: InputInfo, classes: ClassInfo) -> tuple[Tensor, Tensor]:
    """Return images (steps, N, 3, S, S) float32 and labels (steps, N) int64 of real photographs.

    They come from the shipped data set, whatever the bundle's classes are.
    """
    images = load("fashion-mnist-mini", "test")
    chosen = np.arange(STEPS * BATCH)
    inputs, labels = images.tensors(chosen, info)
    slots = labels % len(classes.names)
    return inputs.reshape(STEPS, BATCH, *inputs.shape[1:]), slots.reshape(STEPS, BATCH)


def adamw(edge: EdgeModel, info: OptimizerInfo) -> torch.optim.AdamW:
    """Return the manifest's optimizer over an edge model."""
    return torch.optim.AdamW(
        edge.parameters(),
        lr=info.learning_rate,
        betas=(info.beta1, info.beta2),
        eps=info.epsilon,
        weight_decay=info.weight_decay,
    )


def write_golden(
    edge: EdgeModel, info: InputInfo, classes: ClassInfo, optimizer: OptimizerInfo, folder: Path
) -> None:
    """Train the reference for some steps, leaving it so, and write what it was given and gave."""
    images, labels = golden_batches(info, classes)
    bias = torch.from_numpy(classes.bias())
    steps = adamw(edge.train(), optimizer)
    losses = []
    first: tuple[Tensor, Tensor] | None = None
    for batch, slots in zip(images, labels, strict=True):
        logits, features = edge(batch, bias)
        first = first or (features.detach().clone(), logits.detach().clone())
        loss = cross_entropy(logits, slots)
        update(steps, loss)
        losses.append(loss.item())
    assert first is not None
    (folder / GOLDEN).parent.mkdir()
    save_file(
        {
            "images": images,
            "labels": labels,
            "losses": torch.tensor(losses),
            "features": first[0],
            "logits": first[1],
        },
        folder / GOLDEN,
    )
