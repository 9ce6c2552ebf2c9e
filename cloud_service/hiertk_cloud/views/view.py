"""What the service shows of itself to its operator: records of one moment, and what may be asked.

The API, the metrics and the dashboard know these and nothing else of the service.
"""

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from hiertk_cloud.views.status import Snapshot

ConfusionMatrix = npt.NDArray[np.int64]

DeviceState = Literal["unknown", "offline", "training", "draining", "finished", "waiting", "paused"]


class DeviceView(BaseModel):
    """One device. Counts are since its first message, times in seconds since 1970.

    A measure is None until it is known. waiting: batches stored and not consumed yet.
    stale_total: batches left out because the edge partition had moved on. dropped_total: messages
    that got no answer since the service started: unusable, or above a limit. spool_dropped_total:
    batches that the device itself dropped because its spool was full. is_suspect: its loss stays
    far above its peers'.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: DeviceState = "unknown"
    last_seen: float | None = None
    edge_step: int = 0
    early_exit_loss: float | None = None
    early_exit_accuracy: float | None = None
    early_exit_held_out_accuracy: float | None = None
    final_exit_loss: float | None = None
    final_exit_held_out_accuracy: float | None = None
    waiting: int = 0
    stored_total: int = 0
    stored_bytes: int = 0
    trained_total: int = 0
    stale_total: int = 0
    skipped_total: int = 0
    refused_total: int = 0
    duplicates_total: int = 0
    dropped_total: int = 0
    spool_batches: int = 0
    spool_bytes: int = 0
    spool_dropped_total: int = 0
    sent_bytes: int = 0
    is_suspect: bool = False


class DeploymentView(BaseModel):
    """The bundle that is served."""

    model_config = ConfigDict(frozen=True)

    deployment: str
    bundle_id: str
    model: str
    split: int
    split_count: int
    feature_shape: tuple[int, int, int]
    bits: int
    classes: tuple[str, ...]
    class_slots: int


class CheckpointView(BaseModel):
    """The checkpoint on disk. consumed: batches. written: seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    cloud_step: int
    consumed: int
    size: int
    written: float


class HealthView(BaseModel):
    """Whether the service works. problems: one line each, empty while all is well.

    is_ready: connected to the broker, and the state recovered.
    """

    model_config = ConfigDict(frozen=True)

    is_ready: bool
    is_connected: bool
    is_paused: bool
    problems: tuple[str, ...] = ()


class ServiceView(Protocol):
    """The running service; any thread may ask, and no answer takes more than milliseconds."""

    def deployment(self) -> DeploymentView:
        """Return what is served."""

    def snapshot(self) -> Snapshot:
        """Return progress, measures and counts."""

    def devices(self) -> list[DeviceView]:
        """Return every device that ever sent something, by name."""

    def confusion(self) -> ConfusionMatrix | None:
        """Return the newest held-out evaluation of all devices; None until there is one.

        (classes, classes) int64: row the label, column the final exit's prediction.
        """

    def checkpoint(self) -> CheckpointView | None:
        """Return the newest checkpoint; None before the first."""

    def health(self) -> HealthView:
        """Return whether it works."""

    def pause(self) -> None:
        """Stop training until resumed; batches are still stored and acknowledged."""

    def resume(self) -> None:
        """Train again."""
