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
from hiertk.export.backends import RULES
from hiertk.export.optimizer import torch_optimizer
from hiertk.export.rounding import Tolerances, measure_tolerances
from hiertk.models import EdgeModel
from hiertk.training import update

STEPS = 3
FEWEST_STEPS = 2  # the second shows what the optimizer did
BATCH = 8
_MOST_VALUES = 8 << 20  # of images, beyond the fewest steps: 32 MiB


def golden_batches(info: InputInfo, classes: ClassInfo, samples: int) -> tuple[Tensor, Tensor]:
    """Return images (steps, N, 3, S, S) float32 and labels (steps, N) int64 of real photographs.

    They come from the shipped data set, whatever the bundle's classes are. Many large images are
    taken for two steps only.
    """
    images = load("fashion-mnist-mini", "test")
    values = STEPS * samples * info.raw_bytes
    steps = STEPS if values <= _MOST_VALUES else FEWEST_STEPS
    chosen = np.arange(steps * samples) % len(images)
    inputs, labels = images.tensors(chosen, info)
    slots = labels % len(classes.names)
    return inputs.reshape(steps, samples, *inputs.shape[1:]), slots.reshape(steps, samples)


def golden_samples(draft: Manifest) -> int:
    """Return the samples of a golden step: few, but all of a program that takes no other number."""
    engine = draft.engine
    return BATCH if RULES[engine.backend].any_batch else engine.batch_size


def write_golden(edge: EdgeModel, draft: Manifest, folder: Path) -> Tolerances:
    """Train a copy of the reference for some steps, and write what it was given and gave.

    Returns what an engine's steps may differ by.
    """
    images, labels = golden_batches(draft.input, draft.classes, golden_samples(draft))
    bias = torch.from_numpy(draft.classes.bias())
    tolerances = measure_tolerances(edge, images, labels, bias, draft.optimizer)
    model = copy.deepcopy(edge).train()
    steps = torch_optimizer(model, draft.optimizer)
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
