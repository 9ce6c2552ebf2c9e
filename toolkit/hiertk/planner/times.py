"""What the runtime model tells: the parts of a batch's time in each way of training, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EdgeTime:
    """What the device does for one batch, one part after another; seconds."""

    prepare_s: float
    forward_s: float
    backward_s: float
    optimizer_s: float
    handover_s: float

    @property
    def busy_s(self) -> float:
        """All of it."""
        return self.prepare_s + self.forward_s + self.update_s + self.handover_s

    @property
    def update_s(self) -> float:
        """Backward pass and optimizer."""
        return self.backward_s + self.optimizer_s


@dataclass(frozen=True)
class LinkTime:
    """What the link does for one batch; seconds. window_s: what acknowledgements hold it back."""

    transfer_s: float
    window_s: float

    @property
    def busy_s(self) -> float:
        """The longer of the two."""
        return max(self.transfer_s, self.window_s)


@dataclass(frozen=True)
class CloudTime:
    """What the cloud does for one batch, over all its messages; seconds."""

    receive_s: float
    forward_s: float
    backward_s: float
    optimizer_s: float

    @property
    def busy_s(self) -> float:
        """All of it."""
        return self.receive_s + self.forward_s + self.backward_s + self.optimizer_s


@dataclass(frozen=True)
class FullCloud:
    """The raw images go to the cloud, which trains the whole network; seconds per batch."""

    prepare_s: float
    transfer_s: float
    cloud_s: float
    alone_s: float
    pipeline_s: float
    slowest: str


@dataclass(frozen=True)
class SplitLearning:
    """Features go up and gradients come back, one batch after the other; seconds per batch."""

    forward_s: float
    up_s: float
    cloud_s: float
    down_s: float
    update_s: float

    @property
    def total_s(self) -> float:
        """The sum, as nothing overlaps."""
        return self.forward_s + self.up_s + self.cloud_s + self.down_s + self.update_s


@dataclass(frozen=True)
class Hierarchical:
    """Both partitions train from their own losses; seconds per batch.

    slowest: the part that sets the pipeline's time: edge, link or cloud.
    """

    edge: EdgeTime
    link: LinkTime
    cloud: CloudTime
    alone_s: float
    pipeline_s: float
    slowest: str
