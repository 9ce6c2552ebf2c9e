"""Going through a data set in passes, from where the device stopped."""

import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from hiertk_edge.sources import DataSet, ImageBatch
from hiertk_edge.spool import Cursor

_log = logging.getLogger(__name__)


class Passes:
    """The training batches of a data set that are still to come."""

    def __init__(self, data: DataSet, *, batch_size: int, epochs: int, seed: int) -> None:
        self._data = data
        self._batch_size = batch_size
        self._epochs = epochs
        self._seed = seed
        self.total = data.batch_count(batch_size) * epochs

    def cursor_of(self, stored: Cursor) -> Cursor:
        """Return the stored cursor if it counts the batches of these passes, else a new one."""
        text = f"{self._data.digest} {self._batch_size} {self._seed}"
        plan = hashlib.sha256(text.encode()).hexdigest()
        if stored.plan == plan:
            return stored
        if stored.plan:
            _log.warning("other images, batch size or seed than before: training begins a new pass")
        return Cursor(plan=plan)

    def batches(self, cursor: Cursor) -> Iterator[ImageBatch]:
        """Yield what comes after the cursor, while a thread reads the batch after it."""
        batches = self._data.training_batches(
            self._batch_size, seed=self._seed, consumed=cursor.consumed, passes=self._epochs
        )
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            coming = reader.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = reader.submit(next, batches, None)
                # Here, not in the reader's thread: slots may have changed since it was read.
                yield self._data.in_slots(batch)
