"""What the service tells its devices of its model."""

import math
from dataclasses import dataclass, field

from hiertk_protocol.hiertk_pb2 import ModelStatus

from hiertk_cloud.log import LogTotals
from hiertk_cloud.predictions.predictions import PredictionTotals
from hiertk_cloud.training.held_out import Accuracies, mean_accuracies
from hiertk_cloud.training.progress import Progress
from hiertk_cloud.training.trainer import Measures


@dataclass(frozen=True)
class Snapshot:
    """The service at one moment.

    dropped_total: messages without an answer. acks_total: since the service started. ack_wait_ms:
    the median over the newest messages, from their arrival; NaN before the first. predictions: what
    became of the requests for them.
    """

    progress: Progress
    measures: Measures
    totals: LogTotals
    dropped_total: int
    acks_total: int = 0
    ack_wait_ms: float = math.nan
    predictions: PredictionTotals = field(default_factory=PredictionTotals)

    @property
    def held_out(self) -> Accuracies:
        """Both exits on the same held-out samples."""
        return mean_accuracies(
            device.rounds for device in self.progress.devices.values() if device.rounds
        )

    @property
    def queue(self) -> int:
        """Batches stored and not consumed yet."""
        return self.totals.stored - self.progress.turn

    def message(self, incarnation: int, max_message_bytes: int) -> ModelStatus:
        """Return the message for down/model."""
        return ModelStatus(
            state=ModelStatus.ONLINE,
            incarnation=incarnation,
            cloud_step=self.progress.cloud_step,
            final_exit_loss=self.measures.loss,
            final_exit_accuracy=self.measures.accuracy,
            final_exit_held_out_accuracy=self.held_out.final_exit,
            stored_total=self.totals.stored,
            consumed_total=self.progress.turn,
            refused_total=self.totals.refused,
            duplicates_total=self.totals.duplicates,
            max_message_bytes=max_message_bytes,
            step_ms=self.measures.step_ms,
            trained_total=self.progress.trained_total,
        )

    def line(self) -> str:
        """Return one line for people."""
        parts = [f"cloud step {self.progress.cloud_step}"]
        if not math.isnan(self.measures.loss):
            parts += [f"loss {self.measures.loss:.2f}", f"accuracy {self.measures.accuracy:.2f}"]
        parts.append(f"queue {self.queue}")
        held_out = self.held_out
        if not math.isnan(held_out.final_exit):
            parts.append(
                f"held out: final exit {held_out.final_exit:.3f}, "
                f"early exit {held_out.early_exit:.3f}"
            )
        for name, count in self._troubles().items():
            if count:
                parts.append(f"{name.replace('_', ' ')} {count}")
        return ", ".join(parts)

    def fields(self) -> dict[str, int | float]:
        """Return the same and more, by name."""
        return {
            "cloud_step": self.progress.cloud_step,
            "loss": self.measures.loss,
            "accuracy": self.measures.accuracy,
            "step_ms": self.measures.step_ms,
            "final_exit_held_out_accuracy": self.held_out.final_exit,
            "early_exit_held_out_accuracy": self.held_out.early_exit,
            "stored": self.totals.stored,
            "consumed": self.progress.turn,
            "trained": self.progress.trained_total,
            "queue": self.queue,
            "duplicates": self.totals.duplicates,
            **self._troubles(),
        }

    def _troubles(self) -> dict[str, int]:
        return {
            "refused": self.totals.refused,
            "dropped": self.dropped_total,
            "skipped": self.progress.skipped_total,
            "stale": self.progress.stale_total,
            "left_out": self.progress.left_out_total,
        }
