"""The agent: trains on batch after batch, and puts the features of each into the spool."""

import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hiertk_protocol.errors import ProtocolError, TransportError
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch

from hiertk_edge.encoding import BatchEncoder
from hiertk_edge.learner import Learner
from hiertk_edge.progress import Progress
from hiertk_edge.sources import FolderSource, ImageBatch
from hiertk_edge.spool import Cursor, Spool
from hiertk_edge.uplink import Uplink

_LOOK_EVERY_S = 0.25
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How long to train, and what to do how often; 0 steps is never, no timeout is for ever."""

    epochs: int = 1
    evaluate_every: int = 0
    checkpoint_every: int = 200
    seed: int = 0
    drain_timeout_s: float | None = None


@dataclass(frozen=True)
class Watch:
    """How the agent is watched and stopped from outside."""

    stop_asked: Callable[[], bool] = lambda: False
    show: Callable[[DeviceStatus], None] = lambda _status: None


class Agent:
    """One run of one device. What it has done is in the spool's cursor and the checkpoint."""

    def __init__(
        self,
        *,
        learner: Learner,
        encoder: BatchEncoder,
        spool: Spool,
        uplink: Uplink,
        data: FolderSource,
        held_out: FolderSource | None,
        batch_size: int,
        schedule: Schedule,
        checkpoint: Path,
        watch: Watch,
    ) -> None:
        self._learner = learner
        self._encoder = encoder
        self._spool = spool
        self._uplink = uplink
        self._data = data
        self._held_out = held_out
        self._batch_size = batch_size
        self._schedule = schedule
        self._checkpoint = checkpoint
        self._watch = watch
        self._progress = Progress(learner.edge_step)
        self._cursor = _cursor_of(spool.cursor, _plan(data, batch_size, schedule.seed))
        self._newest: ImageBatch | None = None
        self._has_left_out = False

    def run(self) -> bool:
        """Train what is left of the data, then drain the spool; return False if asked to stop.

        Raises ProtocolError if training diverges (the checkpoint stays the last good one),
        TransportError if the spool is not empty at the drain's timeout.
        """
        finished = self._train()
        if self._newest is not None:
            self._save(self._newest)
        if finished and self._cursor.evaluated_at != self._cursor.consumed:
            finished = self._evaluate()
        return finished and self._drain()

    def _train(self) -> bool:
        schedule = self._schedule
        self._report(DeviceStatus.TRAINING)
        batches = self._data.training_batches(
            self._batch_size,
            seed=schedule.seed,
            consumed=self._cursor.consumed,
            passes=schedule.epochs,
        )
        if self._watch.stop_asked():
            return False
        for batch in batches:
            if not self._learner.can_train(len(batch.labels)):
                self._leave_out(batch)
                continue
            self._step(batch)
            if _is_due(batch.consumed, schedule.checkpoint_every):
                self._save(batch)
            if _is_due(batch.consumed, schedule.evaluate_every) and not self._evaluate():
                return False
            if self._watch.stop_asked():
                return False
        total = self._data.batch_count(self._batch_size) * schedule.epochs
        if total > self._cursor.consumed:  # unreadable batches at the end
            self._put([], consumed=total)
        return True

    def _step(self, batch: ImageBatch) -> None:
        edge_step = self._learner.edge_step
        started = time.perf_counter()
        result = self._learner.step(batch.images, batch.labels)
        step_ms = 1000 * (time.perf_counter() - started)
        messages = self._encoder.encode(
            result,
            batch.labels,
            edge_step=edge_step,
            purpose=FeatureBatch.TRAIN,
            max_bytes=self._uplink.max_message_bytes,
        )
        self._newest = batch
        self._put(messages, consumed=batch.consumed)
        self._progress.add(result, batch.labels, edge_step=self._learner.edge_step, step_ms=step_ms)
        self._report(DeviceStatus.TRAINING)

    def _leave_out(self, batch: ImageBatch) -> None:
        self._put([], consumed=batch.consumed)
        if not self._has_left_out:
            _log.warning(
                "a batch of %d images is left out, as all smaller ones will be: this bundle's "
                "program trains on batch statistics of exactly %d",
                len(batch.labels),
                self._batch_size,
            )
        self._has_left_out = True

    def _evaluate(self) -> bool:
        """Measure the early exit on the held-out images and spool their features.

        Returns False if asked to stop on the way.
        """
        if self._held_out is None:
            return True
        right = count = 0
        for batch in self._held_out.batches_in_order(self._batch_size):
            result = self._learner.evaluate(batch.images, batch.labels)
            messages = self._encoder.encode(
                result,
                batch.labels,
                edge_step=self._learner.edge_step,
                purpose=FeatureBatch.HELD_OUT,
                max_bytes=self._uplink.max_message_bytes,
            )
            self._put(messages, consumed=self._cursor.consumed)
            right += int(np.sum(result.predictions == batch.labels))
            count += len(batch.labels)
            self._report(DeviceStatus.TRAINING)
            if self._watch.stop_asked():
                return False
        self._cursor = replace(self._cursor, evaluated_at=self._cursor.consumed)
        self._put([], consumed=self._cursor.consumed)
        self._progress.held_out_accuracy = right / count if count else math.nan
        self._report(DeviceStatus.TRAINING)
        return True

    def _save(self, batch: ImageBatch) -> None:
        # A step's own loss is from before its update: only another look shows what it left.
        result = self._learner.evaluate(batch.images, batch.labels)
        if not (math.isfinite(result.loss) and np.isfinite(result.features).all()):
            raise ProtocolError(
                f"training diverged before edge step {self._learner.edge_step}: "
                f"{self._checkpoint} stays as it was: export with a lower learning rate"
            )
        self._learner.save(self._checkpoint)

    def _drain(self) -> bool:
        self._report(DeviceStatus.DRAINING)
        timeout_s = self._schedule.drain_timeout_s
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self._spool.wait_empty(_LOOK_EVERY_S):
            self._uplink.check()
            self._watch.show(self._uplink.status())
            if self._watch.stop_asked():
                return False
            if time.monotonic() >= deadline:
                raise TransportError(
                    f"{self._spool.totals.held} messages are still in the spool "
                    f"{self._checkpoint.parent}: run the same command again to send them"
                )
        self._report(DeviceStatus.FINISHED)
        return True

    def _put(self, messages: list[FeatureBatch], *, consumed: int) -> None:
        cursor = replace(self._cursor, consumed=consumed)
        self._spool.put(messages, cursor)
        self._cursor = cursor

    def _report(self, state: DeviceStatus.State) -> None:
        self._uplink.check()
        self._progress.bad_images = self._data.bad_images
        if self._held_out is not None:
            self._progress.bad_images += self._held_out.bad_images
        self._uplink.report(self._progress.status(state))
        self._watch.show(self._uplink.status())


def _is_due(consumed: int, every: int) -> bool:
    return every > 0 and consumed % every == 0


def _plan(data: FolderSource, batch_size: int, seed: int) -> str:
    return hashlib.sha256(f"{data.digest} {batch_size} {seed}".encode()).hexdigest()


def _cursor_of(stored: Cursor, plan: str) -> Cursor:
    """Return the stored cursor if it counts the batches of this very plan, else a new one."""
    if stored.plan == plan:
        return stored
    if stored.plan:
        _log.warning("other images, batch size or seed than before: training begins a new pass")
    return Cursor(plan=plan)
