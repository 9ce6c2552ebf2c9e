"""The manifest's optimizer on the device: torch's own arithmetic, into new tensors.

The functional forms, because an optimizer object imports torch's compiler: 2 seconds and 150 MB
with torch 2.15, for nothing. New tensors, because an update that fails halfway must leave the old
parameters whole.
"""

from dataclasses import dataclass

import torch
from hiertk_protocol.manifest import AdamW, OptimizerInfo, Sgd
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Trained:
    """What an optimizer changes.

    parameters: by name. moments: running averages of the gradients, by their kind and the
    parameter's name; zeros before the first step. steps: taken so far.
    """

    parameters: Tensors
    moments: dict[str, Tensors]
    steps: int


def moment_kinds(info: OptimizerInfo) -> tuple[str, ...]:
    """Return the kinds of running averages that an optimizer keeps, by PyTorch's names."""
    if isinstance(info, AdamW):
        return ("exp_avg", "exp_avg_sq")
    return ("momentum_buffer",) if info.momentum else ()


def untrained(info: OptimizerInfo, parameters: Tensors) -> Trained:
    """Return the state before the first step."""
    moments = {
        kind: {name: torch.zeros_like(value) for name, value in parameters.items()}
        for kind in moment_kinds(info)
    }
    return Trained(parameters, moments, 0)


def stepped(info: OptimizerInfo, rate: float, before: Trained, gradients: Tensors) -> Trained:
    """Return the state after one step; what came in stays as it is."""
    after = Trained(
        parameters=_copies(before.parameters),
        moments={kind: _copies(values) for kind, values in before.moments.items()},
        steps=before.steps + 1,
    )
    slopes = [gradients[name] for name in after.parameters]
    if isinstance(info, AdamW):
        _adamw(info, rate, after, slopes)
    else:
        _sgd(info, rate, after, slopes)
    return after


def _adamw(info: AdamW, rate: float, trained: Trained, slopes: list[Tensor]) -> None:
    adamw(
        list(trained.parameters.values()),
        slopes,
        list(trained.moments["exp_avg"].values()),
        list(trained.moments["exp_avg_sq"].values()),
        [],
        [torch.tensor(float(trained.steps - 1)) for _ in slopes],  # torch counts this step itself
        foreach=False,
        fused=False,
        amsgrad=False,
        beta1=info.beta1,
        beta2=info.beta2,
        lr=rate,
        weight_decay=info.weight_decay,
        eps=info.epsilon,
        maximize=False,
    )


def _sgd(info: Sgd, rate: float, trained: Trained, slopes: list[Tensor]) -> None:
    # From zeros the first step is torch's own, which starts with the gradient.
    averages: list[Tensor | None] = [*trained.moments.get("momentum_buffer", {}).values()]
    sgd(
        list(trained.parameters.values()),
        slopes,
        averages or [None] * len(slopes),
        foreach=False,
        fused=False,
        weight_decay=info.weight_decay,
        momentum=info.momentum,
        lr=rate,
        dampening=0.0,
        nesterov=info.nesterov,
        maximize=False,
    )


def _copies(tensors: Tensors) -> Tensors:
    return {name: value.clone() for name, value in tensors.items()}
