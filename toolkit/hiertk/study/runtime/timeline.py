"""When the cloud did its steps, and what follows for an epoch. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

_WINDOWS = 8
_LEAST_STEPS = 2 * _WINDOWS


def epoch_ends(steps_at: Sequence[float], epochs: int) -> tuple[float, ...]:
    """Return when each epoch's last step was done, of as many steps in each epoch."""
    per_epoch = len(steps_at) / epochs
    return tuple(steps_at[round(per_epoch * number) - 1] for number in range(1, epochs + 1))


def steady_epoch_s(steps_at: Sequence[float], epochs: int) -> float:
    """Return an epoch's seconds once all parts are busy: after a quarter of the steps.

    It is the median over windows of several steps, since messages come in bursts; over all of them
    where there are few.
    """
    late = steps_at[len(steps_at) // 4 :]
    windows = _WINDOWS if len(late) > _LEAST_STEPS else 1
    bounds = [round(number * (len(late) - 1) / windows) for number in range(windows + 1)]
    per_step = [(late[end] - late[start]) / (end - start) for start, end in pairwise(bounds)]
    return median(per_step) * len(steps_at) / epochs
