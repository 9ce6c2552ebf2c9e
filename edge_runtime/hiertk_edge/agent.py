"""The agent: trains on batch after batch, until all is done or it is stopped.

Batches come from a data set, in passes, and from the rehearsal memory, where streams put their
images; those go first, because somebody has just shown them.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hiertk_protocol.errors import TransportError
from hiertk_protocol.hiertk_pb2 import DeviceStatus

from hiertk_edge.care.caretaker import Caretaker
from hiertk_edge.classes.following import ClassFollowing
from hiertk_edge.prediction.predictor import Predictor
from hiertk_edge.sources import ImageBatch
from hiertk_edge.spool import Spool
from hiertk_edge.training.checkpointing import Checkpointing
from hiertk_edge.training.held_out import HeldOut
from hiertk_edge.training.passes import Passes, Use
from hiertk_edge.training.rehearsal_feed import RehearsalFeed
from hiertk_edge.training.spooling import Spooling
from hiertk_edge.training.trainer import EdgeTrainer

_DRAIN_LOOK_S = 0.25
_IDLE_S = 1.0
_CALIBRATION_BATCHES = 16
_log = logging.getLogger(__name__)

Report = Callable[[DeviceStatus.State], None]


@dataclass(frozen=True)
class AgentSettings:
    """How often to measure, and how long to wait for the cloud at the end.

    evaluate_every: steps; 0: only at the end of the passes. drain_timeout_s: None: for ever.
    """

    evaluate_every: int = 0
    drain_timeout_s: float | None = None


class Agent:
    """One run of one device. What it has done is in the spool's cursor and the checkpoints."""

    def __init__(
        self,
        *,
        trainer: EdgeTrainer,
        held_out: HeldOut | None,
        checkpointing: Checkpointing,
        predictor: Predictor,
        caretaker: Caretaker,
        passes: Passes | None,
        feed: RehearsalFeed | None,
        following: ClassFollowing,
        spool: Spool,
        state: Path,
        spooling: Spooling,
        settings: AgentSettings,
        stop_asked: Callable[[], bool],
        report: Report,
    ) -> None:
        """Prepare. report: tells the world the state; called at least once a second and step."""
        self._trainer = trainer
        self._held_out = held_out
        self._checkpointing = checkpointing
        self._predictor = predictor
        self._caretaker = caretaker
        self._passes = passes
        self._feed = feed
        self._following = following
        self._spool = spool
        self._state = state
        self._spooling = spooling
        self._settings = settings
        self._stop_asked = stop_asked
        self._report = report
        self._cursor = spool.cursor if passes is None else passes.cursor_of(spool.cursor)
        self._has_left_out = False

    def run(self) -> bool:
        """Train what there is to train on, then drain the spool; return False if asked to stop.

        Raises ProtocolError if training diverges (the checkpoints stay the last good ones),
        StorageError if the last checkpoint cannot be written, TransportError if the spool is not
        empty at the drain's timeout.
        """
        self._report(DeviceStatus.TRAINING)
        finished = self._train()
        if self._trainer.newest is not None and self._checkpointing.has_news:
            self._checkpointing.save_or_fail(self._trainer.newest, self._predictor.calibration)
        return finished and self._drain()

    def _train(self) -> bool:
        """Train until nothing more can come; return False if asked to stop."""
        batches = iter(()) if self._passes is None else self._passes.batches(self._cursor)
        is_measured = False
        while not self._stop_asked():
            self._follow_classes()
            if not self._caretaker.may_train():
                self._rest(DeviceStatus.PAUSED)
            elif self._train_on_shown():
                self._report(DeviceStatus.TRAINING)
            elif self._waits_for_link:
                self._rest(DeviceStatus.DRAINING)
            elif self._use_next(batches):
                self._report(DeviceStatus.TRAINING)
            elif not is_measured:
                is_measured = self._end_passes()
            elif self._feed is None:
                return True
            else:
                self._feed.wait(_IDLE_S)
                self._report(DeviceStatus.WAITING)
                if self._checkpointing.is_due_at_rest:
                    self._save()
        return False

    def _follow_classes(self) -> None:
        """Put a new class map in place, between two steps."""
        moves = self._following.follow()
        if not moves:
            return
        self._trainer.move(moves)
        if self._held_out is not None:
            self._held_out.move(moves)

    def _rest(self, state: DeviceStatus.State) -> None:
        self._report(state)
        time.sleep(_IDLE_S)

    def _train_on_shown(self) -> bool:
        """Do a step on what streams have shown, if there is enough; return whether."""
        lesson = None if self._feed is None else self._feed.next()
        if self._feed is None or lesson is None:
            return False
        self._trainer.step(lesson.images, lesson.labels, sent=lesson.sent, cursor=self._cursor)
        self._feed.done(lesson)
        self._after_step(self._trainer.edge_step)
        return True

    @property
    def _waits_for_link(self) -> bool:
        """Whether features that are sent once would displace others in the spool."""
        if self._passes is None or self._passes.use_of(self._cursor.consumed + 1) is not Use.SEND:
            return False
        return self._spool.totals.held_bytes > self._spool.limits.max_bytes / 2

    def _use_next(self, batches: Iterator[ImageBatch]) -> bool:
        """Train on the data set's next batch, or only send it; return False if there is none."""
        batch = next(batches, None)
        if batch is None or self._passes is None:
            return False
        self._cursor = replace(self._cursor, consumed=batch.consumed)
        use = self._passes.use_of(batch.consumed)
        if use is Use.SEND:
            self._trainer.send(batch.images, batch.labels, cursor=self._cursor)
            return True
        if not self._trainer.can_train(len(batch.labels)):
            self._leave_out(batch)
            return True
        sent = len(batch.labels) if use is Use.TRAIN_AND_SEND else 0
        self._trainer.step(batch.images, batch.labels, sent=sent, cursor=self._cursor)
        self._after_step(batch.consumed)
        return True

    def _after_step(self, count: int) -> None:
        if self._checkpointing.is_due:
            self._save()
        every = self._settings.evaluate_every
        if every and count % every == 0:
            self._evaluate()

    def _save(self) -> None:
        if self._trainer.newest is None:
            return
        if self._feed is not None and self._held_out is not None:
            self._predictor.calibration = self._held_out.calibrate(_CALIBRATION_BATCHES)
        self._checkpointing.save(self._trainer.newest, self._predictor.calibration)

    def _end_passes(self) -> bool:
        """Measure after the last batch; return False if asked to stop on the way."""
        if self._passes is None:
            return True
        if self._cursor.consumed < self._passes.total:  # unreadable batches at the end
            self._cursor = replace(self._cursor, consumed=self._passes.total)
            self._spooling.move(self._cursor)
        return self._cursor.evaluated_at == self._cursor.consumed or self._evaluate()

    def _evaluate(self) -> bool:
        """Measure on all held-out images; return False if asked to stop on the way."""
        if self._held_out is None:
            return True
        calibration = self._held_out.evaluate(self._cursor, self._may_go_on)
        if calibration is None:
            return False
        self._predictor.calibration = calibration
        self._cursor = replace(self._cursor, evaluated_at=self._cursor.consumed)
        self._spooling.move(self._cursor)
        return True

    def _may_go_on(self) -> bool:
        self._report(DeviceStatus.TRAINING)
        return not self._stop_asked()

    def _leave_out(self, batch: ImageBatch) -> None:
        self._spooling.move(self._cursor)
        if not self._has_left_out:
            _log.warning(
                "a batch of %d images is left out, as all smaller ones will be: this bundle's "
                "program trains on batch statistics of more",
                len(batch.labels),
            )
        self._has_left_out = True

    def _drain(self) -> bool:
        self._report(DeviceStatus.DRAINING)
        timeout_s = self._settings.drain_timeout_s
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self._spool.wait_empty(_DRAIN_LOOK_S):
            self._follow_classes()
            self._report(DeviceStatus.DRAINING)
            if self._stop_asked():
                return False
            if time.monotonic() >= deadline:
                raise TransportError(
                    f"{self._spool.totals.held} messages are still in the spool {self._state}: "
                    "run the same command again to send them"
                )
        self._report(DeviceStatus.FINISHED)
        return True
