"""A new class map goes through the device: between two steps, in the agent's thread.

The table is written first. Then rehearsal memory and early exit follow, and only then the device's
status confirms the version: from then on the cloud may give a retired slot to another class.
"""

import threading
import time
from collections.abc import Mapping

from hiertk_protocol.class_map import ClassMap, parse_class_map
from hiertk_protocol.errors import ProtocolError, StorageError
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import MAX_CLASSES

from hiertk_edge.classes.device_classes import DeviceClasses
from hiertk_edge.classes.exit_moves import move_rows
from hiertk_edge.learner import Learner
from hiertk_edge.rehearsal import RehearsalMemory
from hiertk_edge.training.turns import Turns

_RETRY_S = 10.0
_PROBLEM = "classes"

Moves = Mapping[int, int | None]


class ClassFollowing:
    """Takes maps from the uplink's thread, and puts them in place in the agent's."""

    def __init__(
        self,
        classes: DeviceClasses,
        learner: Learner,
        turns: Turns,
        memory: RehearsalMemory | None,
        problems: Problems,
    ) -> None:
        """Begin with stores that are up to date, as they are when they were opened."""
        self._classes = classes
        self._learner = learner
        self._turns = turns
        self._memory = memory
        self._problems = problems
        self._lock = threading.Lock()
        self._coming: ClassMap | None = None
        self._memory_is_behind = False
        self._not_before = 0.0
        self.confirmed = classes.version
        """The version that all stores have followed."""

    def hand(self, payload: bytes) -> None:
        """Take a class map as it came from the broker; any thread may call it."""
        try:
            # All, also slots beyond this bundle's: the cloud may have one that was grown from it.
            coming = parse_class_map(payload, MAX_CLASSES)
        except ProtocolError as error:
            self._classes.ignore(str(error))
            return
        with self._lock:
            self._coming = coming

    def follow(self) -> Moves:
        """Put a map in place that has come; return the slots whose classes are elsewhere now.

        Without one, and while the disk refuses, there are none.
        """
        coming = self._coming
        if (coming is None and not self._memory_is_behind) or time.monotonic() < self._not_before:
            return {}
        moves: Moves = {}
        try:
            with self._turns.turn():
                if coming is not None:
                    moves = self._put_in_place(coming)
                self._let_memory_follow()
        except StorageError as error:
            self._not_before = time.monotonic() + _RETRY_S
            self._problems.begin(_PROBLEM, f"the classes stay as they are: {error}")
            return moves
        self.confirmed = self._classes.version
        self._problems.end(_PROBLEM, "the classes can be stored again")
        return moves

    def _put_in_place(self, coming: ClassMap) -> Moves:
        before = self._classes.table
        is_new = self._classes.take(coming)
        with self._lock:
            if self._coming is coming:
                self._coming = None
        if not is_new:
            return {}
        self._memory_is_behind = True
        now = self._classes.table
        move_rows(self._learner, before.by_slot, now)
        moves = now.moves(before.by_slot)
        return {slot: target for slot, target in moves.items() if slot != target}

    def _let_memory_follow(self) -> None:
        if self._memory is not None:
            self._memory.follow()
        self._memory_is_behind = False
