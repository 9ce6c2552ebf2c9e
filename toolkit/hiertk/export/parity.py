"""The parity gate: the exported step against PyTorch, gradient by gradient, before anyone gets it.

AdamW divides each gradient by its own size, so that rounding in a gradient near zero turns into a
whole step. Therefore gradients are compared with the reference's, and the optimizer is compared
on its own: torch's, given the engine's gradients, must arrive at the engine's parameters, after the
second step, too, which averages from the first enter.
"""

import copy
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.golden import GoldenSteps, compare, compare_steps, finite, require
from hiertk_edge.learner import Float32Array, StepwiseLearner
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ParityError
from hiertk_protocol.manifest import OptimizerInfo, ParityCheck
from torch import nn
from torch.nn.functional import cross_entropy

from hiertk.export.backends import RULES
from hiertk.export.optimizer import torch_optimizer
from hiertk.export.rounding import Tolerances
from hiertk.models import EdgeModel

UPDATE_TOLERANCE = 1e-5
_SMALL_GRADIENT = 1e-4
_ROUNDING_OF_ALL = 1e-2  # what a gradient that is zero by nature may reach of all gradients' norm


@runtime_checkable
class InspectableLearner(StepwiseLearner, Protocol):
    """A learner whose step can be taken apart and looked into."""

    def gradients(self) -> dict[str, Float32Array]: ...

    def parameters(self) -> dict[str, Float32Array]: ...


def check_parity(
    bundle: Bundle, edge: EdgeModel, tolerances: Tolerances
) -> tuple[ParityCheck, ...]:
    """Compare an exported bundle with its reference `edge`, which holds the exported weights.

    Raises ParityError, naming the tensor that differs most.
    """
    golden = GoldenSteps(bundle)
    learner = open_learner(bundle)
    checks = compare_steps(learner, golden)
    apart = open_learner(bundle)
    assert isinstance(apart, InspectableLearner)
    checks += check_one_step(apart, copy.deepcopy(edge), golden, bundle, tolerances)
    require(checks)
    return tuple(checks)


def check_one_step(
    learner: InspectableLearner,
    edge: EdgeModel,
    golden: GoldenSteps,
    bundle: Bundle,
    tolerances: Tolerances,
) -> list[ParityCheck]:
    """Compare gradients, updated parameters and running statistics of one step, by name."""
    manifest = bundle.manifest
    before = learner.parameters()
    check_names(before, edge)
    learner.forward_backward(golden.images[0], golden.labels[0])
    gradients = learner.gradients()
    after = learner.parameters()

    counts = count_values(edge.train())
    logits, _ = edge(torch.from_numpy(golden.images[0]), torch.from_numpy(manifest.classes.bias()))
    cross_entropy(logits, torch.from_numpy(golden.labels[0])).backward()  # type: ignore[no-untyped-call]
    wanted = {
        name: value.grad.numpy()
        for name, value in edge.named_parameters()
        if value.grad is not None
    }
    checks = [compare_gradients(gradients, wanted, tolerances)]
    corrected = RULES[manifest.engine.backend].corrected_variance
    reference = _Statistics(before, counts, corrected=corrected)
    checks += check_statistics(after, edge, reference, tolerances)
    checks.append(check_updates(learner, edge, golden, manifest.optimizer))
    return checks


def check_updates(
    learner: InspectableLearner, edge: EdgeModel, golden: GoldenSteps, info: OptimizerInfo
) -> ParityCheck:
    """Take the learner's step and another, and torch's optimizer with the learner's gradients."""
    optimizer = torch_optimizer(edge, info)
    checks = []
    for step, (images, labels) in enumerate(zip(golden.images[:2], golden.labels[:2], strict=True)):
        if step:
            learner.forward_backward(images, labels)
        gradients = learner.gradients()
        learner.update()
        after = learner.parameters()
        for name, parameter in edge.named_parameters():
            parameter.grad = torch.from_numpy(gradients[name])
        optimizer.step()
        checks += [
            compare(name, after[name], value.detach().numpy(), UPDATE_TOLERANCE)
            for name, value in edge.named_parameters()
        ]
    return worst_of("updated parameters", checks)


def check_names(exported: dict[str, Float32Array], edge: EdgeModel) -> None:
    """Require the same tensors by name and shape. Raises ParityError."""
    wanted = {
        name: tuple(value.shape)
        for name, value in edge.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    got = {name: value.shape for name, value in exported.items()}
    if got != wanted:
        odd = sorted(set(got.items()) ^ set(wanted.items()))
        raise ParityError(f"the exported parameters are not the network's: {odd[:3]}")


def count_values(edge: EdgeModel) -> dict[str, int]:
    """Note, at the next forward pass, over how many values each channel's mean goes."""
    counts: dict[str, int] = {}

    def count(name: str, images: torch.Tensor) -> None:
        counts[name] = images.numel() // images.shape[1]

    for name, module in edge.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda _, inputs, name=name: count(name, inputs[0]))
    return counts


@dataclass(frozen=True)
class _Statistics:
    """What the running statistics were, over how many values each new one goes, and which.

    corrected: variances have Bessel's correction.
    """

    before: dict[str, Float32Array]
    counts: dict[str, int]
    corrected: bool


def check_statistics(
    after: dict[str, Float32Array],
    edge: EdgeModel,
    statistics: _Statistics,
    tolerances: Tolerances,
) -> list[ParityCheck]:
    """Compare running means and variances, by name.

    An engine without Bessel's correction is compared with the reference's variance without it.
    """
    checks = []
    for name, count in statistics.counts.items():
        layer = edge.get_submodule(name)
        assert isinstance(layer, nn.BatchNorm2d)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        mean = f"{name}.running_mean"
        checks.append(compare(mean, after[mean], layer.running_mean.numpy(), tolerances.features))
        variance = f"{name}.running_var"
        wanted = layer.running_var.numpy()
        if not statistics.corrected:
            kept = (1 - (layer.momentum or 0)) * statistics.before[variance]
            wanted = kept + (wanted - kept) * np.float32((count - 1) / count)
        checks.append(compare(variance, after[variance], wanted, tolerances.features))
    return [worst_of("running statistics", checks)] if checks else []


def compare_gradients(
    got: dict[str, Float32Array], wanted: dict[str, Float32Array], tolerances: Tolerances
) -> ParityCheck:
    """Return the worst tensor's norm of the difference, relative to its reference's norm."""
    total = math.hypot(*(float(np.linalg.norm(value)) for value in wanted.values()))
    checks = []
    for name, value in wanted.items():
        if got[name].shape != value.shape:
            raise ParityError(f"gradient of {name}: shape {got[name].shape}, not {value.shape}")
        scale = max(float(np.linalg.norm(value)), _SMALL_GRADIENT)
        if name in tolerances.zero_gradients:
            scale = max(scale, _ROUNDING_OF_ALL * total / tolerances.gradient)
        worst = finite(float(np.linalg.norm(got[name] - value)) / scale)
        checks.append(ParityCheck(what=name, worst=worst, tolerance=tolerances.gradient))
    return worst_of("gradients", checks)


def worst_of(what: str, checks: list[ParityCheck]) -> ParityCheck:
    """Return the check of a group that is closest to failing, under the group's name."""
    worst = max(checks, key=lambda check: check.worst)
    return ParityCheck(what=what, worst=worst.worst, tolerance=worst.tolerance, where=worst.what)
