"""How well classes are known: accuracies per class, their means, and what was forgotten."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
SlotArray = npt.NDArray[np.int64]


def class_accuracies(predictions: SlotArray, labels: SlotArray, classes: int) -> Float64Array:
    """Return the share of right predictions of each class, (classes,); NaN where none was asked."""
    asked = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[predictions == labels], minlength=classes)
    accuracies = np.full(classes, np.nan)
    np.divide(right, asked, out=accuracies, where=asked > 0)
    return accuracies


def forgetting(accuracies: Sequence[Sequence[float]], classes: Sequence[int]) -> float:
    """Return the mean drop of some classes from the best that they had.

    accuracies: phase by phase, one value per class, NaN before it was learned. The last phase is
    the one that is compared with the best of all. After Chaudhry et al., Riemannian Walk for
    Incremental Learning, ECCV 2018; their drop is from the best of the phases before.
    """
    table = np.array(accuracies, np.float64)[:, list(classes)]
    return float(np.mean(np.nanmax(table, axis=0) - table[-1]))


def mean_of(accuracies: Sequence[float], classes: Sequence[int]) -> float:
    """Return the mean accuracy of some classes, each counting the same."""
    return float(np.mean([accuracies[one] for one in classes]))
