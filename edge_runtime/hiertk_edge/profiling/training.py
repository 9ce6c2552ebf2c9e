"""The training step in its parts, at one number of samples."""

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError
from hiertk_protocol.profile import StepTime

from hiertk_edge.engines.backends import open_learner
from hiertk_edge.learner import StepResult, StepwiseLearner
from hiertk_edge.profiling.images import full_batches
from hiertk_edge.profiling.stopwatch import Stopwatch
from hiertk_edge.sources import DataSet, ImageBatch


def open_stepwise(bundle: Bundle, *, threads: int) -> StepwiseLearner:
    """Open the bundle's engine. Raises BundleError if its step cannot be taken apart."""
    learner = open_learner(bundle, threads=threads)
    if not isinstance(learner, StepwiseLearner):
        backend = bundle.manifest.engine.backend
        raise BundleError(f"{bundle.folder}: backend {backend} cannot be profiled in this version")
    return learner


class StepMeter:
    """Takes training steps over `samples` images each, and the time of their parts."""

    def __init__(self, learner: StepwiseLearner, source: DataSet, samples: int) -> None:
        self._learner = learner
        self._samples = samples
        self._batches = full_batches(source, samples)
        self._watch = Stopwatch()

    def train(self) -> tuple[StepResult, ImageBatch]:
        """Read a batch and take one step, as the agent does, without the time being taken."""
        batch = next(self._batches)
        return self._learner.step(batch.images, batch.labels), batch

    def measure(self) -> tuple[StepResult, ImageBatch]:
        """Read a batch and take one step, part by part."""
        with self._watch.time("prepare"):
            batch = next(self._batches)
        with self._watch.time("forward and backward"):
            result = self._learner.forward_backward(batch.images, batch.labels)
        with self._watch.time("optimizer"):
            self._learner.update()
        return result, batch

    def measure_forward(self, batch: ImageBatch) -> None:
        """Take the forward pass in its inference form: the engine's training step is one piece."""
        with self._watch.time("forward"):
            self._learner.evaluate(batch.images, batch.labels)

    @property
    def prepare_ms(self) -> float:
        """Median of reading and preprocessing one image."""
        return round(self._watch.median_ms("prepare") / self._samples, 6)

    def step_time(self) -> StepTime:
        """Return the medians; the whole is that of the step, however it falls into parts."""
        both = self._watch.median_ms("forward and backward")
        forward = min(both, self._watch.median_ms("forward"))
        return StepTime(
            samples=self._samples,
            forward_ms=forward,
            backward_ms=round(both - forward, 4),
            optimizer_ms=self._watch.median_ms("optimizer"),
        )
