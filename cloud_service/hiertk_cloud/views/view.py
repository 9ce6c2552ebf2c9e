"""What the service shows of itself to its operator: records of one moment, and what may be asked.

The API, the metrics and the dashboard know these and nothing else of the service.
"""

from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from hiertk_cloud.training.confusion import Evaluation
from hiertk_cloud.views.class_state import ClassState
from hiertk_cloud.views.status import Snapshot

DeviceState = Literal["unknown", "offline", "training", "draining", "finished", "waiting", "paused"]


class DeviceView(BaseModel):
    """One device. Counts are since its first message, times in seconds since 1970.

    A measure is None until it is known. waiting: batches stored and not consumed yet.
    stale_total: batches left out because the edge partition had moved on. left_out_total: samples
    whose class had no slot when their batch had its turn. dropped_total: messages
    that got no answer since the service started: unusable, or above a limit. spool_dropped_total:
    batches that the device itself dropped because its spool was full. is_suspect: its loss stays
    far above its peers'. class_map_version: the newest that it has put in place. problems: what it
    says is wrong with it, one line each.
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
    left_out_total: int = 0
    skipped_total: int = 0
    refused_total: int = 0
    duplicates_total: int = 0
    dropped_total: int = 0
    spool_batches: int = 0
    spool_bytes: int = 0
    spool_dropped_total: int = 0
    sent_bytes: int = 0
    is_suspect: bool = False
    class_map_version: int | None = None
    problems: tuple[str, ...] = ()


class DeploymentView(BaseModel):
    """The bundle that is served. classes: those of the newest class map, by their slots."""

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

    def classes(self) -> ClassState:
        """Return the class map, and who has put it in place."""

    def evaluation(self) -> Evaluation | None:
        """Return the newest held-out evaluation of all devices; None until there is one."""

    def checkpoint(self) -> CheckpointView | None:
        """Return the newest checkpoint; None before the first."""

    def health(self) -> HealthView:
        """Return whether it works."""

    def pause(self) -> None:
        """Stop training until resumed; batches are still stored and acknowledged."""

    def resume(self) -> None:
        """Train again."""
