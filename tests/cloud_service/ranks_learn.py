"""What each rank learns in some cases, under torchrun: FOLDER gets the outcome of each."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from cloud_service.cloud_parts import MANIFEST, SHAPE, SLOTS, checked, make_message, make_module
from hiertk_cloud.distributed.group import Group, open_group
from hiertk_cloud.distributed.learner import RankLearner
from hiertk_cloud.training.learner import CloudLearner, Skipped
from hiertk_protocol.messages import Batch
from safetensors.torch import save_file
from torch import Tensor, nn

HALF = 4
DIVERGED = 1e28


def make_group_module() -> nn.Module:
    """A cloud partition whose steps do not depend on what else is in the batch."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(SHAPE[0], 8, 3, padding=1, bias=False),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, SLOTS),
    )


def half(step: int, rank: int, *, scale: float = 1.0) -> Batch:
    """The half batch of a rank; the whole batch of a step is both."""
    return checked(make_message(2 * step + rank + 1, samples=HALF, scale=scale))


# For each case and step, what each rank gives to it: half batches, or nothing.
Plan = Sequence[tuple[Batch | None, Batch | None]]


def even() -> Plan:
    return [(half(step, 0), half(step, 1)) for step in range(6)]


def one_step() -> Plan:
    return [(half(0, 0), half(0, 1))]


def uneven() -> Plan:
    return [(half(step, 0), half(step, 1) if step < 2 else None) for step in range(5)]


def harmful() -> Plan:
    return [
        (half(step, 0), half(step, 1, scale=DIVERGED if step == 1 else 1.0)) for step in (0, 1, 2)
    ]


def single() -> Plan:
    """A batch that batch normalization cannot train on, in rank 1."""
    alone = checked(make_message(99, samples=1))
    return [(half(step, 0), alone if step == 1 else half(step, 1)) for step in (0, 1, 2)]


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Plan]]] = {
    "even": (make_group_module, even),
    "uneven": (make_group_module, uneven),
    "harmful": (make_group_module, harmful),
    "batch-normalization": (make_module, one_step),
    "single": (make_module, single),
}


def state_of(learner: CloudLearner) -> dict[str, Tensor]:
    """Every parameter, buffer, average and moment."""
    tensors = {f"module/{name}": value for name, value in learner.module.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in learner.average.state_dict().items()}
    for name, parameter in learner.module.named_parameters():
        for moment, value in learner.optimizer.state[parameter].items():
            tensors[f"{moment}/{name}"] = value
    return {name: value.clone() for name, value in tensors.items()}


def learn(group: Group, name: str, folder: Path) -> None:
    make, plan = CASES[name]
    learner = RankLearner(make(), MANIFEST, 1e-2)
    skipped = 0
    with learner.round():
        for shares in plan():
            torch.manual_seed(0)
            batch = shares[group.rank]
            if batch is not None:
                skipped += isinstance(learner.learn(batch), Skipped)
    results = state_of(learner) | {
        "steps": torch.tensor(learner.steps),
        "skipped": torch.tensor(skipped),
    }
    save_file(results, folder / f"{name}-{group.rank}.safetensors")


def main() -> None:
    torch.set_num_threads(1)
    with open_group() as group:
        for name in CASES:
            learn(group, name, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
