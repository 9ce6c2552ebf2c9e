"""What is kept of each class: its newest and its best accuracies, and its curves."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict


class Best(NamedTuple):
    """The best accuracy so far, share of 1, and of how many samples."""

    accuracy: float
    samples: int


class ClassMark(NamedTuple):
    """What is kept of a class. Accuracies: shares of 1, None before the first evaluation.

    came, gone: seconds since 1970; gone is None while it is in the class map.
    """

    slot: int
    since: int
    name: str
    came: float
    came_at_step: int
    gone: float | None
    samples: int
    early_exit: float | None
    final_exit: float | None
    early_exit_best: Best | None
    final_exit_best: Best | None


class ClassCurves(BaseModel):
    """One class's points in the order of their cloud steps, a list per column.

    time: seconds since 1970. samples: held-out samples of the class. Accuracies: shares of 1.
    """

    model_config = ConfigDict(frozen=True)

    slot: int
    since: int
    name: str
    time: list[float] = []
    cloud_step: list[int] = []
    samples: list[int] = []
    early_exit_accuracy: list[float | None] = []
    final_exit_accuracy: list[float | None] = []


def better(best: Best | None, now: Best) -> Best:
    """Return the best accuracy so far.

    The first batches of a first round are few samples, of which many are right by chance: few
    samples beat no best of many, and a best of few gives way to whatever twice as many say.
    """
    if best is None or now.samples > 2 * best.samples:
        return now
    if now.accuracy >= best.accuracy and 2 * now.samples >= best.samples:
        return now
    return best
