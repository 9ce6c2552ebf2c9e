"""The Learner over a step program: all state is here, the program computes.

A step first computes everything that is new, then puts it in place in one assignment, so that one
that fails changes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError
from hiertk_protocol.new_class import ExitRow
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from hiertk_edge.engines.exit_rows import rows_of, with_row
from hiertk_edge.engines.exit_slots import ExitSlots
from hiertk_edge.engines.optimizers import stepped, untrained
from hiertk_edge.engines.program import Program
from hiertk_edge.engines.program_checkpoint import Training, read_checkpoint, write_checkpoint
from hiertk_edge.engines.program_state import (
    PARAMETERS,
    STATE,
    ProgramState,
    read_names,
    read_values,
)
from hiertk_edge.learner import (
    Float32Array,
    SlotArray,
    StepResult,
    check_images,
    check_learning_rate,
)

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class _Computed:
    """What a program's step gives, by name."""

    result: StepResult
    gradients: Tensors
    statistics: Tensors


class ProgramLearner:
    """See `Learner`. A batch smaller than the program's is padded with samples of no weight.

    That is exact where no statistics are moved; batch statistics would count the padding, so
    there it is refused. The number of threads is the whole process's.
    """

    def __init__(
        self, bundle: Bundle, program: Program, *, threads: int = 1, checkpoint: Path | None = None
    ) -> None:
        torch.set_num_threads(threads)
        self._manifest = bundle.manifest
        self._program = program
        self._names: ProgramState = read_names(bundle.path(STATE))
        values = read_values(bundle.path(PARAMETERS), self._names)
        self._constants = {name: values[name] for name in self._names.constants}
        self._training = Training(
            untrained(
                bundle.manifest.optimizer, {name: values[name] for name in self._names.parameters}
            ),
            {name: values[name] for name in self._names.statistics},
        )
        saved = None
        if checkpoint is not None:
            self._training, saved = read_checkpoint(
                checkpoint, self._training, bundle.manifest.bundle_id, bundle.folder
            )
        self._slots = _open_slots(bundle, saved, checkpoint)
        self._gradients: Tensors | None = None
        self._learning_rate = bundle.manifest.optimizer.learning_rate

    @property
    def edge_step(self) -> int:
        return self._training.trained.steps

    @property
    def learning_rate(self) -> float:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        check_learning_rate(rate)
        self._learning_rate = rate

    @property
    def fixed_batch_size(self) -> int | None:
        return self._program.batch_size

    @property
    def open_slots(self) -> frozenset[int]:
        return self._slots.open

    def exit_rows(self, slots: Sequence[int]) -> list[ExitRow]:
        for slot in slots:
            self._slots.check(slot)
        return rows_of(self._training.trained, slots)

    def open_slot(self, slot: int, row: ExitRow | None = None) -> None:
        self._slots.check(slot)
        trained = with_row(self._training.trained, slot, row)
        self._training = replace(self._training, trained=trained)
        self._slots.add(slot)

    def close_slot(self, slot: int) -> None:
        self._slots.check(slot)
        self._slots.remove(slot)

    def adjust(self, prior: Float32Array | None) -> None:
        self._slots.adjust(prior)

    def can_train(self, samples: int) -> bool:
        size = self._program.batch_size
        if self._names.statistics:
            return samples > 1 if size is None else samples == size
        return samples > 0 if size is None else 0 < samples <= size

    def step(self, images: Float32Array, labels: SlotArray) -> StepResult:
        computed = self._compute(images, labels)
        self._training = self._updated(computed.gradients, computed.statistics)
        self._gradients = None
        return computed.result

    def forward_backward(self, images: Float32Array, labels: SlotArray) -> StepResult:
        """Compute loss and gradients, and move the running statistics."""
        computed = self._compute(images, labels)
        self._training = replace(self._training, statistics=computed.statistics)
        self._gradients = computed.gradients
        return computed.result

    def update(self) -> None:
        """Take one optimizer step and clear the gradients."""
        assert self._gradients is not None, "no gradients: forward_backward comes first"
        self._training = self._updated(self._gradients, self._training.statistics)
        self._gradients = None

    def evaluate(self, images: Float32Array, labels: SlotArray | None = None) -> StepResult:
        check_images(images, self._manifest.input.shape)
        if labels is not None:
            self._slots.check_labels(labels, len(images))
        pieces = [self._infer(piece) for piece in self._pieces(images)]
        features = torch.cat([piece[0] for piece in pieces])
        logits = torch.cat([piece[1] for piece in pieces])
        loss = math.nan if labels is None else cross_entropy(logits, torch.tensor(labels)).item()
        return StepResult(loss, features.numpy(), logits.numpy())

    def save(self, path: Path) -> None:
        write_checkpoint(path, self._training, self._manifest.bundle_id, self._slots.text())

    def parameters(self) -> dict[str, Float32Array]:
        """Return copies of all parameters and running statistics by PyTorch's names."""
        tensors = self._training.trained.parameters | self._training.statistics | self._constants
        return {name: value.numpy().copy() for name, value in tensors.items()}

    def gradients(self) -> dict[str, Float32Array]:
        """Return copies of the gradients between `forward_backward` and `update`."""
        return {name: value.numpy().copy() for name, value in (self._gradients or {}).items()}

    def _updated(self, gradients: Tensors, statistics: Tensors) -> Training:
        info = self._manifest.optimizer
        trained = stepped(info, self._learning_rate, self._training.trained, gradients)
        return Training(trained, statistics)

    def _compute(self, images: Float32Array, labels: SlotArray) -> _Computed:
        check_images(images, self._manifest.input.shape)
        self._slots.check_labels(labels, len(images))
        count = len(images)
        if not self.can_train(count):
            raise ConfigError(self._refusal(count))
        targets = torch.zeros(count, self._manifest.classes.capacity)
        targets[torch.arange(count), torch.tensor(labels)] = 1 / count
        bias = torch.from_numpy(self._slots.training_bias)
        inputs = (_tensor(images), targets)
        outputs = self._program.step(
            [*(self._padded(value) for value in inputs), bias, *self._state()]
        )
        loss, features, logits, *rest = outputs
        trained, moved = self._training.trained.parameters, self._training.statistics
        if len(rest) != len(trained) + len(moved):
            raise BundleError(f"the program gives {len(outputs)} values: export the bundle again")
        result = StepResult(loss.item(), features[:count].numpy(), logits[:count].numpy())
        return _Computed(
            self._slots.unadjusted(result, labels),
            gradients=_named(trained, rest[: len(trained)]),
            statistics=_named(moved, rest[len(trained) :]),
        )

    def _infer(self, images: Tensor) -> tuple[Tensor, Tensor]:
        bias = torch.from_numpy(self._slots.evaluation_bias)
        features, logits = self._program.infer([self._padded(images), bias, *self._state()])
        return features[: len(images)], logits[: len(images)]

    def _state(self) -> list[Tensor]:
        training = self._training
        groups = (training.trained.parameters, training.statistics, self._constants)
        return [value for group in groups for value in group.values()]

    def _pieces(self, images: Float32Array) -> list[Tensor]:
        whole = _tensor(images)
        size = self._program.batch_size or len(whole)
        return [whole[start : start + size] for start in range(0, len(whole), size)]

    def _padded(self, samples: Tensor) -> Tensor:
        missing = (self._program.batch_size or len(samples)) - len(samples)
        return pad(samples, [0, 0] * (samples.dim() - 1) + [0, missing]) if missing else samples

    def _refusal(self, count: int) -> str:
        size = self._program.batch_size
        if size is None:
            return f"a batch of {count} has no batch statistics: take 2 images or more"
        if self._names.statistics:
            return (
                f"a batch of {count}: this program trains on batch statistics of exactly {size} "
                "images; export with --normalization group or frozen for smaller batches"
            )
        return f"a batch of {count}: this program trains on up to {size} images"


def _open_slots(bundle: Bundle, saved: str | None, checkpoint: Path | None) -> ExitSlots:
    try:
        return ExitSlots(bundle.manifest.classes, saved)
    except ValueError as error:
        raise BundleError(f"{checkpoint} is no checkpoint of this engine: {error}") from error


def _tensor(images: Float32Array) -> Tensor:
    return torch.from_numpy(np.require(images, requirements=["C", "W"]))


def _named(like: Tensors, values: list[Tensor]) -> Tensors:
    """Return a program's results under their names, as tensors of their own."""
    named = dict(zip(like, values, strict=True))
    for name, value in named.items():
        if value.shape != like[name].shape:
            raise BundleError(
                f"the program gives {tuple(value.shape)} for {name}, which is "
                f"{tuple(like[name].shape)}: export the bundle again"
            )
    return named
