"""The writer's turns: what has come goes into the log, what nobody needs any more leaves it."""

import time

from hiertk_cloud.ingest.ingest import Ingest
from hiertk_cloud.log import DurableLog

_PRUNE_EVERY_S = 1.0


class Writing:
    """What the writer's thread does, turn by turn."""

    def __init__(self, ingest: Ingest, log: DurableLog) -> None:
        self._ingest = ingest
        self._log = log
        self._prune_due = 0.0

    def turn(self) -> None:
        """Take what has come, or wait a moment for it; forget now and then. Raises StorageError."""
        self._ingest.turn()
        now = time.monotonic()
        if now >= self._prune_due and self._log.prune() == 0:
            self._prune_due = now + _PRUNE_EVERY_S
