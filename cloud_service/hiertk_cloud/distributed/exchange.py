"""What the ranks tell each other after every round: counts, measures, and whether to go on."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from hiertk_protocol.hiertk_pb2 import ModelStatus

_COUNTED = ("stored", "consumed", "trained", "skipped", "stale", "refused", "duplicates", "dropped")


@dataclass(frozen=True)
class RankReport:
    """One rank after a round. All are numbers, in this order on the wire.

    turns: consumed in this round. stops: it was asked to stop. is_up: connected to the broker.
    stored to dropped: totals of its own log. measured: held-out devices, whose accuracies the two
    sums add up. loss, accuracy: means over its newest training batches, NaN before the first.
    """

    turns: float = 0
    stops: float = 0
    is_up: float = 0
    stored: float = 0
    consumed: float = 0
    trained: float = 0
    skipped: float = 0
    stale: float = 0
    refused: float = 0
    duplicates: float = 0
    dropped: float = 0
    measured: float = 0
    final_exit_held_out_sum: float = 0
    early_exit_held_out_sum: float = 0
    loss: float = math.nan
    accuracy: float = math.nan
    step_ms: float = math.nan


@dataclass(frozen=True)
class GroupReport:
    """All ranks after a round. cloud_step: of the group."""

    cloud_step: int
    ranks: tuple[RankReport, ...]

    @classmethod
    def of(cls, cloud_step: int, numbers: Sequence[Sequence[float]]) -> "GroupReport":
        """Return what every rank's numbers say."""
        return cls(cloud_step, tuple(RankReport(*one) for one in numbers))

    @property
    def is_idle(self) -> bool:
        """Whether no rank had a batch."""
        return not any(rank.turns for rank in self.ranks)

    @property
    def stops(self) -> bool:
        """Whether any rank was asked to stop: then all do."""
        return any(rank.stops for rank in self.ranks)

    @property
    def is_up(self) -> bool:
        """Whether every rank is connected: a device is told that the cloud is there only then."""
        return all(rank.is_up for rank in self.ranks)

    @property
    def final_exit_held_out(self) -> float:
        """The mean over all devices; NaN until measured."""
        return self._held_out("final_exit_held_out_sum")

    @property
    def early_exit_held_out(self) -> float:
        """The same of the early exit, on the same samples."""
        return self._held_out("early_exit_held_out_sum")

    def total(self, name: str) -> int:
        """Return the sum of a count over the ranks."""
        return int(sum(getattr(rank, name) for rank in self.ranks))

    def mean(self, name: str) -> float:
        """Return the mean of a measure over the ranks that have one; NaN for none."""
        known = [value for rank in self.ranks if math.isfinite(value := getattr(rank, name))]
        return sum(known) / len(known) if known else math.nan

    def message(self, incarnation: int, max_message_bytes: int) -> ModelStatus:
        """Return the message for down/model."""
        return ModelStatus(
            state=ModelStatus.ONLINE if self.is_up else ModelStatus.OFFLINE,
            incarnation=incarnation,
            cloud_step=self.cloud_step,
            final_exit_loss=self.mean("loss"),
            final_exit_accuracy=self.mean("accuracy"),
            final_exit_held_out_accuracy=self.final_exit_held_out,
            stored_total=self.total("stored"),
            consumed_total=self.total("consumed"),
            refused_total=self.total("refused"),
            duplicates_total=self.total("duplicates"),
            max_message_bytes=max_message_bytes,
            step_ms=self.mean("step_ms"),
            trained_total=self.total("trained"),
        )

    def line(self) -> str:
        """Return one line for people."""
        parts = [f"cloud step {self.cloud_step}"]
        if not math.isnan(self.mean("loss")):
            parts.append(f"loss {self.mean('loss'):.2f}, accuracy {self.mean('accuracy'):.2f}")
        parts.append(f"queue {self.total('stored') - self.total('consumed')}")
        if self.total("measured"):
            parts.append(
                f"held out: final exit {self.final_exit_held_out:.3f}, "
                f"early exit {self.early_exit_held_out:.3f}"
            )
        by_rank = "/".join(str(int(rank.trained)) for rank in self.ranks)
        return ", ".join([*parts, f"trained by rank {by_rank}"])

    def fields(self) -> dict[str, int | float]:
        """Return the same and more, by name."""
        return {
            "cloud_step": self.cloud_step,
            "loss": self.mean("loss"),
            "accuracy": self.mean("accuracy"),
            "final_exit_held_out_accuracy": self.final_exit_held_out,
            "early_exit_held_out_accuracy": self.early_exit_held_out,
            **{name: self.total(name) for name in _COUNTED},
        }

    def _held_out(self, name: str) -> float:
        devices = self.total("measured")
        return sum(getattr(rank, name) for rank in self.ranks) / devices if devices else math.nan


def numbers_of(report: RankReport) -> tuple[float, ...]:
    """Return a report as it travels."""
    numbers: tuple[float, ...] = astuple(report)
    return numbers
