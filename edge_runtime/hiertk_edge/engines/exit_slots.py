"""Which class slots of an early exit are open, and what an engine adds to its logits."""

from dataclasses import replace

import numpy as np
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import ClassInfo, class_bias
from hiertk_protocol.new_class import ExitRow

from hiertk_edge.learner import Float32Array, SlotArray, StepResult, check_labels

WEIGHT = "exit.weight"  # (class slots, channels)
BIAS = "exit.bias"  # (class slots,)


class ExitSlots:
    """The open slots of one early exit, and the prior of its training steps.

    evaluation_bias, training_bias: (class slots,) float32, what is added to the logits.
    """

    def __init__(self, classes: ClassInfo, saved: str | None) -> None:
        """Open those of a checkpoint, or the manifest's where it says nothing.

        Raises ValueError for what `text` does not write.
        """
        self._capacity = classes.capacity
        self._prior: Float32Array | None = None
        exported = frozenset(range(len(classes.names)))
        self._set(exported if saved is None else _parse(saved, classes.capacity))

    @property
    def open(self) -> frozenset[int]:
        """The open slots."""
        return self._open

    def text(self) -> str:
        """Return the open slots as a checkpoint keeps them."""
        return " ".join(map(str, sorted(self._open)))

    def add(self, slot: int) -> None:
        """Open a slot."""
        self._set(self._open | {slot})

    def remove(self, slot: int) -> None:
        """Close a slot."""
        self._set(self._open - {slot})

    def adjust(self, prior: Float32Array | None) -> None:
        """See `Learner.adjust`."""
        if prior is not None:
            if prior.shape != (self._capacity,) or not np.isfinite(prior).all():
                raise ConfigError(
                    f"a prior must be ({self._capacity},) finite values, got {prior.shape}"
                )
            prior = prior.astype(np.float32) if prior.any() else None
        self._prior = prior
        self._set(self._open)

    def check(self, slot: int) -> None:
        """Refuse what is no slot. Raises ConfigError."""
        if not 0 <= slot < self._capacity:
            raise ConfigError(
                f"slot {slot}: this bundle's exits have slots 0 to {self._capacity - 1}"
            )

    def check_labels(self, labels: SlotArray, count: int) -> None:
        """Refuse labels without an open slot. Raises ConfigError."""
        check_labels(labels, count, self._open)

    def unadjusted(self, result: StepResult, labels: SlotArray) -> StepResult:
        """Return a training step's result as it is without the prior."""
        if self._prior is None:
            return result
        logits = result.logits - self._prior
        return replace(result, logits=logits, loss=_cross_entropy(logits, labels))

    def _set(self, slots: frozenset[int]) -> None:
        self._open = slots
        self.evaluation_bias = class_bias(slots, self._capacity)
        self.training_bias = (
            self.evaluation_bias if self._prior is None else self.evaluation_bias + self._prior
        )


def check_row(row: ExitRow, channels: int) -> None:
    """Refuse a row that does not fit the exit. Raises ConfigError."""
    if row.weight.shape != (channels,):
        raise ConfigError(f"a row of {row.weight.shape} values, the exit's have ({channels},)")
    if not (np.isfinite(row.weight).all() and np.isfinite(row.bias)):
        raise ConfigError("a row of the exit has values that are not finite")


def _parse(text: str, capacity: int) -> frozenset[int]:
    words = text.split(" ", capacity) if text else []
    slots = [int(word) for word in words if word.isascii() and word.isdecimal() and len(word) < 6]
    if len(slots) != len(words) or slots != sorted(set(slots)) or max(slots, default=0) >= capacity:
        raise ValueError(f"open slots {text[:40]!r}")
    return frozenset(slots)


def _cross_entropy(logits: Float32Array, labels: SlotArray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    of_labels = shifted[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1, dtype=np.float64)) - of_labels))
