"""Settings of one service, in its own units."""

from dataclasses import dataclass, field

from hiertk_protocol.credentials import Credentials

from hiertk_cloud.ingest.limits import Limits
from hiertk_cloud.log import Retention
from hiertk_cloud.training.precision import Precision
from hiertk_cloud.training.trainer import TrainerSettings


@dataclass(frozen=True)
class ServiceSettings:
    """Settings of one service.

    precision: of training steps. threads: of torch. stale_after: edge steps behind its device's
    newest beyond which a batch is left out, 0 never. reserve_bytes: of the disk, that batches leave
    free for checkpoints.
    """

    learning_rate: float = 1e-3
    precision: Precision = "float32"
    threads: int = 1
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    stale_after: int = 10_000
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)
    reserve_bytes: int = 512 << 20
    credentials: Credentials = field(default_factory=Credentials)
