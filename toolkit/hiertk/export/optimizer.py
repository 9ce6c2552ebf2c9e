"""The manifest's optimizer: chosen from flags, and in PyTorch for the reference."""

from dataclasses import dataclass

import torch
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import AdamW, Backend, OptimizerInfo, Sgd, Target
from pydantic import ValidationError

from hiertk.export.backends import BACKENDS, optimizers_of
from hiertk.models import EdgeModel
from hiertk.option_checks import check_choice

_KINDS: dict[str, type[AdamW | Sgd]] = {"adamw": AdamW, "sgd": Sgd}


@dataclass(frozen=True)
class OptimizerFlags:
    """What the user says of the optimizer; None for the default."""

    name: str | None = None
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    nesterov: bool | None = None

    def hyper_parameters(self) -> dict[str, float | bool]:
        """Return what is given, by the manifest's names."""
        values = {
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "nesterov": self.nesterov,
        }
        return {name: value for name, value in values.items() if value is not None}


def choose_optimizer(flags: OptimizerFlags, target: Target, backend: Backend) -> OptimizerInfo:
    """Return the optimizer that the flags ask for, else the backend's default.

    Raises ConfigError for one that the backend has not, or a flag that the optimizer has not.
    """
    kind = _kind(flags.name, target, backend)
    given = flags.hyper_parameters()
    name = _name(kind)
    for field in given:
        if field not in kind.model_fields:
            raise ConfigError(f"{_flag(field)}: {name} has none: leave it, or take --optimizer sgd")
    try:
        chosen: OptimizerInfo = kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        flag = _flag(str(first["loc"][0])) if first["loc"] else "--optimizer"
        problem = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{flag}: {problem}") from error
    return chosen


def torch_optimizer(edge: EdgeModel, info: OptimizerInfo) -> torch.optim.Optimizer:
    """Return the manifest's optimizer over an edge model."""
    if isinstance(info, AdamW):
        return torch.optim.AdamW(
            edge.parameters(),
            lr=info.learning_rate,
            betas=(info.beta1, info.beta2),
            eps=info.epsilon,
            weight_decay=info.weight_decay,
        )
    return torch.optim.SGD(
        edge.parameters(),
        lr=info.learning_rate,
        momentum=info.momentum,
        weight_decay=info.weight_decay,
        nesterov=info.nesterov,
    )


def _kind(name: str | None, target: Target, backend: Backend) -> type[AdamW | Sgd]:
    kinds = optimizers_of(target, backend)
    if name is None:
        return kinds[0]
    check_choice("--optimizer", name, tuple(_KINDS))
    if _KINDS[name] not in kinds:
        others = [
            other for other in BACKENDS[target] if _KINDS[name] in optimizers_of(target, other)
        ]
        raise ConfigError(
            f"--optimizer {name}: backend {backend} on {target} trains with {_name(kinds[0])}: "
            f"leave it, or take --backend {' or '.join(others)}"
        )
    return _KINDS[name]


def _name(kind: type[AdamW | Sgd]) -> str:
    return str(kind.model_fields["name"].default)


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"
