"""How far the trainer has come: the part of a checkpoint that is not tensors."""

from typing import Annotated

from hiertk_protocol.class_map import FIRST_VERSION
from pydantic import BaseModel, ConfigDict, Field

from hiertk_cloud.training.held_out import DeviceRounds

_NEWEST = 0.05  # weight of the newest batch in a running mean: over some 20 batches


class DeviceProgress(BaseModel):
    """What was done with one device's batches.

    left_out_total: samples without a class. Losses: running means over its newest training
    batches, nats; None before the first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trained_total: int = Field(default=0, ge=0)
    skipped_total: int = Field(default=0, ge=0)
    stale_total: int = Field(default=0, ge=0)
    left_out_total: int = Field(default=0, ge=0)
    final_exit_loss: float | None = Field(default=None, allow_inf_nan=False)
    early_exit_loss: float | None = Field(default=None, allow_inf_nan=False)
    rounds: DeviceRounds | None = None

    def learned(self, final_exit_loss: float, early_exit_loss: float) -> "DeviceProgress":
        """Return the progress with one more batch trained on."""
        return self.model_copy(
            update={
                "trained_total": self.trained_total + 1,
                "final_exit_loss": _moved(self.final_exit_loss, final_exit_loss),
                "early_exit_loss": _moved(self.early_exit_loss, early_exit_loss),
            }
        )


class Progress(BaseModel):
    """Everything up to `turn` of the log has had its effect once.

    trained_total: training batches that led to a step. skipped_total: those that did not, because
    something was not finite, none of their samples had a class, or the log was damaged there.
    stale_total: those left out because their device's edge partition had moved on. left_out_total:
    samples, of held-out batches too, whose class had no slot when their batch had its turn.
    replayed_total: batches trained on again while nothing new waited. class_map_version: what
    labels mean to the trainer. open_slots: of the final exit, in order; None: those of the export.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    turn: int = Field(default=0, ge=0)
    cloud_step: int = Field(default=0, ge=0)
    trained_total: int = Field(default=0, ge=0)
    skipped_total: int = Field(default=0, ge=0)
    stale_total: int = Field(default=0, ge=0)
    left_out_total: int = Field(default=0, ge=0)
    replayed_total: int = Field(default=0, ge=0)
    class_map_version: int = Field(default=FIRST_VERSION, ge=FIRST_VERSION)
    open_slots: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    devices: dict[str, DeviceProgress] = {}

    def of(self, device: str) -> DeviceProgress:
        """Return one device's progress."""
        return self.devices.get(device, DeviceProgress())


class Progress1(BaseModel):
    """The progress of a checkpoint of format 1, when a batch's turn was its position."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    position: int = Field(ge=0)
    cloud_step: int = Field(ge=0)
    trained_total: int = Field(ge=0)
    skipped_total: int = Field(ge=0)
    devices: dict[str, DeviceRounds]

    def now(self) -> Progress:
        """Return it as it is said now."""
        return Progress(
            turn=self.position,
            cloud_step=self.cloud_step,
            trained_total=self.trained_total,
            skipped_total=self.skipped_total,
            devices={name: DeviceProgress(rounds=one) for name, one in self.devices.items()},
        )


def _moved(mean: float | None, newest: float) -> float:
    return newest if mean is None else mean + _NEWEST * (newest - mean)
