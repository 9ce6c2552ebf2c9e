"""The cloud's step as the trainer does it, over some number of samples, and what it consists of."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from hiertk_cloud.training.learner import CloudLearner, Skipped
from hiertk_edge.profiling.stopwatch import Stopwatch
from hiertk_protocol.errors import ModelError
from hiertk_protocol.messages import Batch, BatchKey
from hiertk_protocol.profile import StepTime
from torch import Tensor

from hiertk.profiling.cloud_partitions import CloudPartition


class CloudStepMeter:
    """Trains a partition on `samples` samples and takes the time.

    More than `batch_size` come as a new batch and replayed ones, as in the trainer.
    """

    def __init__(
        self, learner: CloudLearner, partition: CloudPartition, *, samples: int, batch_size: int
    ) -> None:
        self._learner = learner
        self._split = partition.split
        self._samples = samples
        edges = [*range(0, samples, batch_size), samples]
        self._new, *self._replayed = (
            _batch(partition, start, stop) for start, stop in pairwise(edges)
        )

    def measure(self, watch: Stopwatch) -> None:
        """Take one step as the trainer does. Raises ModelError if it would skip the batch."""
        with _parts_timed(self._learner, watch), watch.time("step"):
            outcome = self._learner.learn(self._new, self._replayed)
        if isinstance(outcome, Skipped):
            raise ModelError(
                f"separation point {self._split}: the cloud skips a batch of {self._samples}: "
                f"{outcome.reason}: choose another network, or a larger input or batch"
            )

    def step_time(self, watch: Stopwatch, read_ms_per_sample: float) -> StepTime:
        """Return the medians, of which the whole is that of the trainer's step.

        backward_ms goes up to the update, with the check of the gradients. optimizer_ms is all the
        rest: decoding, other checks, update, average, and reading the new batch from the log.
        """
        step = watch.median_ms("step")
        forward = watch.median_ms("forward")
        backward = min(step - forward, watch.median_ms("backward"))
        reading = read_ms_per_sample * len(self._new.labels)
        return StepTime(
            samples=self._samples,
            forward_ms=forward,
            backward_ms=round(backward, 4),
            optimizer_ms=round(step - forward - backward + reading, 4),
        )


@contextmanager
def _parts_timed(learner: CloudLearner, watch: Stopwatch) -> Iterator[None]:
    """Time forward and backward inside the learner's step.

    Alone, they would take the same time once more, and the rest would be a difference of noise.
    """
    began = 0.0

    def begin(*_arguments: Any) -> None:
        nonlocal began
        began = time.perf_counter()

    def end_forward(_module: Any, _inputs: Any, logits: Tensor) -> None:
        watch.add("forward", time.perf_counter() - began)
        logits.register_hook(begin)  # type: ignore[no-untyped-call]

    def end_backward(*_arguments: Any) -> None:
        watch.add("backward", time.perf_counter() - began)

    handles = (
        learner.module.register_forward_pre_hook(begin),
        learner.module.register_forward_hook(end_forward),
        learner.optimizer.register_step_pre_hook(end_backward),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _batch(partition: CloudPartition, start: int, stop: int) -> Batch:
    labels = partition.labels[start:stop]
    return Batch(
        key=BatchKey("profile", 1, 1 + start),
        floor=1,
        edge_step=0,
        held_out=False,
        features=partition.features.rows(start, stop),
        labels=labels,
        early_exit=labels,
        early_exit_loss=0.0,
    )
