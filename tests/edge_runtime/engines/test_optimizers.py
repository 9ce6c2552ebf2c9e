"""The device's optimizers are torch's, bit by bit, and leave what they were given as it was."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hiertk_edge.engines.optimizers import Tensors, stepped, untrained
from hiertk_protocol.manifest import AdamW, OptimizerInfo, Sgd
from torch import Tensor

SHAPES = {"weight": (4, 3, 2, 2), "bias": (4,)}


def drawn(seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


Make = Callable[[list[Tensor], OptimizerInfo], torch.optim.Optimizer]


def make_sgd(values: list[Tensor], info: OptimizerInfo) -> torch.optim.Optimizer:
    assert isinstance(info, Sgd)
    return torch.optim.SGD(
        values,
        lr=info.learning_rate,
        momentum=info.momentum,
        weight_decay=info.weight_decay,
        nesterov=info.nesterov,
    )


def make_adamw(values: list[Tensor], info: OptimizerInfo) -> torch.optim.Optimizer:
    assert isinstance(info, AdamW)
    return torch.optim.AdamW(
        values,
        lr=info.learning_rate,
        betas=(info.beta1, info.beta2),
        eps=info.epsilon,
        weight_decay=info.weight_decay,
    )


@pytest.mark.parametrize(
    ("info", "make"),
    [
        (Sgd(), make_sgd),
        (Sgd(momentum=0.0), make_sgd),
        (Sgd(weight_decay=0.1), make_sgd),
        (Sgd(nesterov=True, weight_decay=0.01, learning_rate=0.3), make_sgd),
        (AdamW(), make_adamw),
        (AdamW(weight_decay=0.1, beta1=0.8, beta2=0.99, epsilon=1e-4), make_adamw),
    ],
)
def test_four_steps_are_torchs_own(info: OptimizerInfo, make: Make) -> None:
    trained = untrained(info, drawn(0))
    values = list(drawn(0).values())
    optimizer = make(values, info)
    for step in range(4):
        gradients = drawn(step + 1)
        trained = stepped(info, info.learning_rate, trained, gradients)
        for value, gradient in zip(values, gradients.values(), strict=True):
            value.grad = gradient.clone()
        optimizer.step()
        assert trained.steps == step + 1
        for mine, torchs in zip(trained.parameters.values(), values, strict=True):
            assert torch.equal(mine, torchs)


@pytest.mark.parametrize("info", [Sgd(nesterov=True, weight_decay=0.1), AdamW(weight_decay=0.1)])
def test_a_step_changes_nothing_that_it_was_given(info: OptimizerInfo) -> None:
    before = stepped(info, 0.1, untrained(info, drawn(0)), drawn(1))
    gradients = drawn(2)
    kept = [value.clone() for values in before.moments.values() for value in values.values()]
    parameters = {name: value.clone() for name, value in before.parameters.items()}
    stepped(info, 0.1, before, gradients)
    assert all(torch.equal(value, parameters[name]) for name, value in before.parameters.items())
    assert all(torch.equal(value, drawn(2)[name]) for name, value in gradients.items())
    now = [value for values in before.moments.values() for value in values.values()]
    assert all(torch.equal(one, other) for one, other in zip(now, kept, strict=True))


def test_a_changed_rate_counts_from_the_next_step_on() -> None:
    info = Sgd(momentum=0.0)
    trained = stepped(info, 0.5, untrained(info, drawn(0)), drawn(1))
    assert torch.allclose(trained.parameters["bias"], drawn(0)["bias"] - 0.5 * drawn(1)["bias"])


def test_torchs_compiler_is_not_imported() -> None:
    code = """
import sys, torch
from hiertk_edge.engines.optimizers import stepped, untrained
from hiertk_protocol.manifest import AdamW, Sgd
for info in (AdamW(), Sgd()):
    stepped(info, 0.1, untrained(info, {"a": torch.zeros(3)}), {"a": torch.ones(3)})
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
