"""How far rounding alone moves the reference: no engine can be asked to be closer than that.

Batch statistics over few values amplify rounding from layer to layer, and values near ReLU's kink
turn gradients on or off. Both depend on the network and the cut, so they are measured: by the same
step in float64, and by images moved by about one rounding.
"""

import copy
from dataclasses import dataclass

import torch
from hiertk_protocol.manifest import OptimizerInfo
from torch import Tensor
from torch.nn.functional import cross_entropy

from hiertk.export.optimizer import torch_optimizer
from hiertk.models import EdgeModel
from hiertk.training import update

# Of 14 cuts of 8 networks, correct exports differed by up to twice the features' rounding and by
# up to the gradients' movement; a wrong operator or shifted names give far more.
_FEATURES, _GRADIENT, _LOSS = 4, 3, 4
_LEAST_FEATURES, _LEAST_GRADIENT, _LEAST_LOSS, _LEAST_LATER_LOSS = 1e-4, 1e-2, 1e-5, 0.1
_MOST_GRADIENT = 0.5  # beyond it the comparison would prove nothing
_MOVED_BY = 1e-6
_REPETITIONS = 4
_ZERO = 1e-7

Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class Tolerances:
    """What an engine's first steps may differ by from the reference's.

    features: largest difference, relative to 1 where values are larger. gradient: norm of the
    difference relative to the gradient's own, of any tensor. first_loss, later_loss: nats.
    zero_gradients: tensors whose gradient is zero by nature, such as a bias before batch
    normalization: there both sides hold nothing but rounding.
    """

    features: float
    gradient: float
    first_loss: float
    later_loss: float
    zero_gradients: frozenset[str]


def measure_tolerances(
    edge: EdgeModel, images: Tensor, labels: Tensor, bias: Tensor, optimizer: OptimizerInfo
) -> Tolerances:
    """Measure on images (steps, N, 3, S, S) and labels (steps, N); `edge` stays as it is."""
    features, gradients = _first_step(edge, images[0], labels[0], bias)
    exact_features, exact = _first_step(
        copy.deepcopy(edge).double(), images[0].double(), labels[0], bias.double()
    )
    total = _norm(list(exact.values()))
    zero = frozenset(name for name, value in exact.items() if value.norm() <= _ZERO * total)
    rounding = float(
        ((features.double() - exact_features).abs() / exact_features.abs().clamp(min=1)).max()
    )
    losses = _losses(edge, images, labels, bias, optimizer)
    generator = torch.Generator().manual_seed(0)
    movement, loss_movement = 0.0, 0.0
    for _ in range(_REPETITIONS):
        moved = images + _MOVED_BY * torch.randn(images.shape, generator=generator)
        _, moved_gradients = _first_step(edge, moved[0], labels[0], bias)
        movement = max(
            movement,
            *(
                float((moved_gradients[name] - value).norm() / value.norm().clamp(min=1e-12))
                for name, value in gradients.items()
                if name not in zero
            ),
        )
        moved_losses = _losses(edge, moved, labels, bias, optimizer)
        loss_movement = max(loss_movement, float((moved_losses - losses).abs().max()))
    return Tolerances(
        features=max(_LEAST_FEATURES, _FEATURES * rounding),
        gradient=min(_MOST_GRADIENT, max(_LEAST_GRADIENT, _GRADIENT * movement)),
        first_loss=max(_LEAST_LOSS, _FEATURES * rounding / 10),
        later_loss=max(_LEAST_LATER_LOSS, _LOSS * loss_movement),
        zero_gradients=zero,
    )


def _first_step(
    edge: EdgeModel, images: Tensor, labels: Tensor, bias: Tensor
) -> tuple[Tensor, Gradients]:
    model = copy.deepcopy(edge).train()
    logits, features = model(images, bias)
    cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    gradients = {
        name: value.grad for name, value in model.named_parameters() if value.grad is not None
    }
    return features.detach(), gradients


def _losses(
    edge: EdgeModel, images: Tensor, labels: Tensor, bias: Tensor, optimizer: OptimizerInfo
) -> Tensor:
    model = copy.deepcopy(edge).train()
    steps = torch_optimizer(model, optimizer)
    losses = []
    for batch, slots in zip(images, labels, strict=True):
        loss = cross_entropy(model(batch, bias)[0], slots)
        update(steps, loss)
        losses.append(loss.item())
    return torch.tensor(losses)


def _norm(values: list[Tensor]) -> float:
    return float(torch.stack([value.norm() for value in values]).norm())
