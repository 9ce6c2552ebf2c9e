"""Going through a data set in passes, from where the device stopped.

With the schedule "stream" each step's features are sent. With "edge-first" nothing is sent while
the edge partition learns; then it stays as it is, and one more pass sends every image's features.
"""

import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import Literal

from hiertk_edge.sources import DataSet, ImageBatch
from hiertk_edge.spool import Cursor

Schedule = Literal["stream", "edge-first"]
_log = logging.getLogger(__name__)


class Use(Enum):
    """What a batch is for."""

    TRAIN_AND_SEND = auto()
    TRAIN = auto()
    SEND = auto()


class Passes:
    """The batches of a data set that are still to come."""

    def __init__(
        self,
        data: DataSet,
        *,
        batch_size: int,
        epochs: int,
        seed: int,
        schedule: Schedule = "stream",
    ) -> None:
        """Prepare. epochs: passes that train."""
        self._data = data
        self._batch_size = batch_size
        self._epochs = epochs
        self._seed = seed
        self._is_edge_first = schedule == "edge-first"
        self._passes = epochs + 1 if self._is_edge_first else epochs
        self.total = data.batch_count(batch_size) * self._passes

    def cursor_of(self, stored: Cursor) -> Cursor:
        """Return the stored cursor if it counts the batches of these passes, else a new one."""
        text = f"{self._data.digest} {self._batch_size} {self._seed}"
        if self._is_edge_first:
            text += f" edge-first {self._epochs}"
        plan = hashlib.sha256(text.encode()).hexdigest()
        if stored.plan == plan:
            return stored
        if stored.plan:
            _log.warning(
                "other images, batch size, seed or schedule than before: training begins a new pass"
            )
        return Cursor(plan=plan)

    def use_of(self, consumed: int) -> Use:
        """Return what the batch is for that `consumed` batches end with."""
        if not self._is_edge_first:
            return Use.TRAIN_AND_SEND
        trained = self._data.batch_count(self._batch_size) * self._epochs
        return Use.TRAIN if consumed <= trained else Use.SEND

    def batches(self, cursor: Cursor) -> Iterator[ImageBatch]:
        """Yield what comes after the cursor, while a thread reads the batch after it."""
        batches = self._data.training_batches(
            self._batch_size, seed=self._seed, consumed=cursor.consumed, passes=self._passes
        )
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            coming = reader.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = reader.submit(next, batches, None)
                # Here, not in the reader's thread: slots may have changed since it was read.
                yield self._data.in_slots(batch)
