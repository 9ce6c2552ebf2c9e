"""The reference's first training steps on real images: what every engine is checked against."""

import copy
from pathlib import Path

import numpy as np
import torch
from hiertk_protocol.bundle import GOLDEN
from hiertk_protocol.manifest import ClassInfo, InputInfo, Manifest
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from hiertk.data import load
from hiertk.export.optimizer import adamw
from hiertk.export.rounding import Tolerances, measure_tolerances
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


def write_golden(edge: EdgeModel, draft: Manifest, folder: Path) -> Tolerances:
    """Train a copy of the reference for some steps, and write what it was given and gave.

    Returns what an engine's steps may differ by.
    """
    images, labels = golden_batches(draft.input, draft.classes)
    bias = torch.from_numpy(draft.classes.bias())
    tolerances = measure_tolerances(edge, images, labels, bias, draft.optimizer)
    model = copy.deepcopy(edge).train()
    steps = adamw(model, draft.optimizer)
    losses = []
    first: tuple[Tensor, Tensor] | None = None
    for batch, slots in zip(images, labels, strict=True):
        logits, features = model(batch, bias)
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
            "features": first[0].contiguous(),
            "logits": first[1],
            "tolerances": torch.tensor(
                [tolerances.features, tolerances.first_loss, tolerances.later_loss],
                dtype=torch.float64,
            ),
        },
        folder / GOLDEN,
    )
    return tolerances
