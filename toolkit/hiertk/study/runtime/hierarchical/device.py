"""`hiertk-edge run` as it is, but it tells when it starts and ends, and can keep weights.

python -m hiertk.study.runtime.hierarchical.device CONFIG EVERY [SNAPSHOTS]: a file of settings,
steps, a folder.
"""

import sys
from pathlib import Path

from hiertk_edge.config import load_config
from hiertk_edge.device import run_device
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.engines.ort_engine import import_engine
from hiertk_edge.freed_memory import return_freed_memory
from hiertk_edge.learner import Learner
from hiertk_edge.watch import Watch
from hiertk_edge.weights import ReadableLearner
from hiertk_protocol import console
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import TransportError
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.manifest import Backend

from hiertk.study.runtime.telling import Snapshots, tell, tell_end, tell_loaded


class _Observed:
    """A device that is looked at after each of its steps."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._learner: ReadableLearner | None = None
        self._has_started = False

    def open_engine(self, bundle: Bundle, threads: int, checkpoint: Path | None) -> Learner:
        return_freed_memory(bundle.manifest.engine.backend)
        _load_libraries(bundle.manifest.engine.backend)
        learner = open_learner(bundle, threads=threads, checkpoint=checkpoint)
        assert isinstance(learner, ReadableLearner), "all three backends are"
        self._learner = learner
        return learner

    def show(self, status: DeviceStatus) -> None:
        if not self._has_started and status.state == DeviceStatus.TRAINING:
            self._has_started = True
            tell("started")
        if self._learner is not None and self._snapshots.is_due(self._learner.edge_step):
            self._snapshots.take(self._learner.edge_step, self._learner.parameters())


def main(config: str, every: str, snapshots: str | None = None) -> None:
    """Train and send until all is acknowledged."""
    folder = None if snapshots is None else Path(snapshots)
    observed = _Observed(Snapshots(folder, "edge", int(every)))
    watch = Watch(show=observed.show)
    outcome = run_device(load_config(Path(config)), watch, open_engine=observed.open_engine)
    status = outcome.status
    if status.dropped_total or status.refused_total:
        raise TransportError("batches were dropped or refused: the run says nothing")
    tell_end(messages=status.spooled_total)


def _load_libraries(backend: Backend) -> None:
    """Load what the engine would load later, to tell their memory from the network's."""
    if backend == "onnxruntime":
        import_engine()
    else:
        import torch  # noqa: F401
    tell_loaded()


if __name__ == "__main__":
    console.terminate_like_interrupt()
    console.run(lambda: main(*sys.argv[1:]))
