"""The trainer's turns: predictions, errands, pauses, checkpoints, and what goes wrong with them."""

import threading
import time

from hiertk_protocol.errors import StorageError
from hiertk_protocol.host.problems import Problems

from hiertk_cloud.log import DiskFullError, DurableLog
from hiertk_cloud.predictions.predictions import Predictions
from hiertk_cloud.training.errands import Errands
from hiertk_cloud.training.trainer import Trainer

_IDLE_S = 0.2
_SAVE_AGAIN_S = 30.0


class Training:
    """What the trainer's thread does, turn by turn.

    running: set while training is not paused. errands: work for other threads between two steps.
    """

    def __init__(
        self,
        trainer: Trainer,
        log: DurableLog,
        predictions: Predictions,
        problems: Problems,
        arrived: threading.Event,
    ) -> None:
        """Prepare. arrived: set when there are new batches or requests for predictions."""
        self._trainer = trainer
        self._predictions = predictions
        self._log = log
        self._problems = problems
        self._arrived = arrived
        self._save_due = 0.0
        self.errands = Errands()
        self.running = threading.Event()
        self.running.set()

    def turn(self) -> None:
        """Answer what was asked, then consume one batch or wait a moment. Raises StorageError."""
        self._predictions.turn(self._trainer.learner, self._trainer.progress.cloud_step)
        self.errands.do_all()
        if not self.running.is_set():
            self._wait()
            return
        try:
            was_there = self._trainer.advance() or self._trainer.again()
        except DiskFullError as error:
            self._problems.begin("no room to train", f"training waits: {error}")
            self._wait()
            return
        self._problems.end("no room to train", "training goes on")
        if not was_there:
            self._wait()
        elif self._trainer.save_is_due and time.monotonic() >= self._save_due:
            self._save()

    def _wait(self) -> None:
        self._arrived.wait(_IDLE_S)
        self._arrived.clear()

    def _save(self) -> None:
        try:
            self._trainer.save()
        except StorageError as error:
            self._save_due = time.monotonic() + _SAVE_AGAIN_S
            self._problems.begin("checkpoint", f"no new checkpoint, training goes on: {error}")
            return
        self._problems.end("checkpoint", "checkpoints are written again")
        self._log.release(self._trainer.saved.turn)
