"""What training looks like now: means over the newest steps."""

import math
from collections import deque
from dataclasses import dataclass
from statistics import fmean, median

from hiertk_cloud.training.learner import Learned

_NEWEST_STEPS = 50


@dataclass(frozen=True)
class Measures:
    """Means over the newest training batches, before their step; NaN before the first one.

    step_ms: the median over the newest cloud steps.
    """

    loss: float = math.nan
    accuracy: float = math.nan
    step_ms: float = math.nan


class NewestSteps:
    """The newest steps; any thread may read `measures`."""

    def __init__(self) -> None:
        self._learned: deque[Learned] = deque(maxlen=_NEWEST_STEPS)
        self._step_ms: deque[float] = deque(maxlen=_NEWEST_STEPS)
        self.measures = Measures()

    def took(self, seconds: float) -> None:
        """Note how long a step took."""
        self._step_ms.append(1e3 * seconds)

    def add(self, learned: Learned) -> None:
        """Take in a step on a new batch."""
        self._learned.append(learned)
        self.measures = Measures(
            loss=fmean(one.loss for one in self._learned),
            accuracy=fmean(one.accuracy for one in self._learned),
            step_ms=median(self._step_ms),
        )
