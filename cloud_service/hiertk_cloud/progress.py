"""How far the trainer has come: the part of a checkpoint that is not tensors."""

from pydantic import BaseModel, ConfigDict, Field

from hiertk_cloud.held_out import DeviceRounds


class Progress(BaseModel):
    """Everything up to `position` of the log has had its effect once.

    trained_total: training batches that led to a step. skipped_total: those that did not, because
    something was not finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    position: int = Field(default=0, ge=0)
    cloud_step: int = Field(default=0, ge=0)
    trained_total: int = Field(default=0, ge=0)
    skipped_total: int = Field(default=0, ge=0)
    devices: dict[str, DeviceRounds] = {}
