"""What a prediction says, and whose it is."""

from dataclasses import dataclass
from typing import Literal, Protocol

from hiertk_edge.images import Pixels

Exit = Literal["early exit", "final exit"]


@dataclass(frozen=True)
class Scores:
    """One exit's probabilities: the classes by name, likeliest first; they sum to 1."""

    classes: tuple[tuple[str, float], ...]

    @property
    def best(self) -> str:
        """The likeliest class."""
        return self.classes[0][0]

    @property
    def confidence(self) -> float:
        """The likeliest class's probability."""
        return self.classes[0][1]


@dataclass(frozen=True)
class Answer:
    """A prediction for one image.

    by: whose answer stands. why: the reason in a few words, such as "sure", "the cloud is offline"
    or "no answer within 2 s". scores: of the exit that stands. early: the early exit's own,
    calibrated. edge_step, cloud_step: of the weights that answered; None: not asked.
    """

    by: Exit
    why: str
    scores: Scores
    early: Scores
    edge_step: int
    cloud_step: int | None = None


class Predicts(Protocol):
    """What answers for an image; any thread may call it."""

    def predict(self, pixels: Pixels) -> Answer:
        """Answer for pixels (size, size, 3) uint8, within a step and the deadline."""
