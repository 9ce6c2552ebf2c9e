"""How both exits take a new class up: its first row, and the loss's correction while it is rare."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ExitRow:
    """One class's part of an exit's linear layer. weight: (D,) float32."""

    weight: Float32Array
    bias: float


def imprinted_row(
    examples: Float32Array, others: Float32Array | None, weight: Float32Array, bias: Float32Array
) -> ExitRow:
    """Return the row with which a linear exit begins to know a class.

    examples: what the exit sees of the class, (N, D) float32. others: the mean (D,) of what it sees
    of the classes that it knows, None where there is nothing to take it from. weight (K, D) and
    bias (K,): of the open slots. The row points from the others to the examples, with the length
    of the open rows; halfway between the two it is level with all known classes together.

    After weight imprinting (Qi et al., CVPR 2018), for an exit whose inputs are not normalized.
    """
    mean = examples.mean(axis=0, dtype=np.float64)
    center = np.zeros_like(mean) if others is None else others.astype(np.float64)
    direction = mean - center
    length = np.linalg.norm(direction)
    scale = np.linalg.norm(weight.astype(np.float64), axis=1).mean() if len(weight) else 1.0
    row = direction * (scale / length) if length > 0 else direction
    halfway = (mean + center) / 2
    known = _log_sum_exp(weight @ halfway + bias) if len(weight) else 0.0
    return ExitRow(row.astype(np.float32), float(known - row @ halfway))


def log_prior(counts: npt.NDArray[np.float64], strength: float = 1.0) -> Float32Array:
    """Return what is added to the training logits so that rare classes are not drowned.

    counts: how often each slot was trained on of late, (class slots,); slots of 0 get 0. The result
    is (class slots,) float32, with 0 for the most frequent class.

    Logit adjustment (Menon et al., ICLR 2021).
    """
    prior = np.zeros(len(counts), np.float32)
    seen = counts > 0
    if seen.any():
        prior[seen] = strength * np.log(counts[seen] / counts.max())
    return prior


def _log_sum_exp(logits: npt.NDArray[np.float64]) -> float:
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()))
