"""When a device writes a checkpoint: seldom enough for its card, and never one that diverged."""

import time

import numpy as np
from hiertk_protocol.errors import ProtocolError, StorageError
from hiertk_protocol.host.problems import Problems

from hiertk_edge.learner import Float32Array, Learner
from hiertk_edge.prediction.calibration import Calibration
from hiertk_edge.status.file import uptime_s
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_edge.training.turns import Turns

_SAVE_AGAIN_S = 30.0


class Checkpointing:
    """Writes a generation after so many steps, but not before so many seconds have gone by."""

    def __init__(
        self,
        learner: Learner,
        turns: Turns,
        checkpoints: Checkpoints,
        problems: Problems,
        *,
        every_steps: int,
        every_s: float,
    ) -> None:
        self._learner = learner
        self._turns = turns
        self._checkpoints = checkpoints
        self._problems = problems
        self._every_steps = every_steps
        self._every_s = every_s
        self.saved_step = learner.edge_step
        self.saved_uptime_s: float | None = None
        """When the newest one of this run was written, in seconds since boot."""
        self._due = time.monotonic() + every_s

    @property
    def is_due(self) -> bool:
        """Whether steps and time are both enough for the next one."""
        steps = self._learner.edge_step - self.saved_step
        return steps >= self._every_steps and time.monotonic() >= self._due

    @property
    def is_due_at_rest(self) -> bool:
        """Whether time is enough and there were steps: while nothing comes, their number is not."""
        return self.has_news and time.monotonic() >= self._due

    @property
    def has_news(self) -> bool:
        """Whether there were steps since the newest one."""
        return self._learner.edge_step != self.saved_step

    def save(self, images: Float32Array, calibration: Calibration) -> None:
        """Write a generation; a disk that refuses is told, and tried again later.

        images: to see on that the weights are good. Raises ProtocolError if they are not: the
        older checkpoints stay.
        """
        try:
            self.save_or_fail(images, calibration)
        except StorageError as error:
            self._due = time.monotonic() + _SAVE_AGAIN_S
            self._problems.begin("checkpoint", f"no checkpoint, training goes on: {error}")
            return
        self._due = time.monotonic() + self._every_s
        self._problems.end("checkpoint", "checkpoints are written again")

    def save_or_fail(self, images: Float32Array, calibration: Calibration) -> None:
        """Write a generation. Raises ProtocolError as `save` does, and StorageError."""
        with self._turns.turn():
            # A step's own loss is from before its update: only another look shows what it left.
            result = self._learner.evaluate(images)
            if not (np.isfinite(result.logits).all() and np.isfinite(result.features).all()):
                raise ProtocolError(
                    f"training diverged before edge step {self._learner.edge_step}: the checkpoint "
                    f"of step {self.saved_step} stays: set a lower learning rate"
                )
            self._checkpoints.save(self._learner, calibration)
            self.saved_step = self._learner.edge_step
            self.saved_uptime_s = uptime_s()
