"""Batches out of the log, and which of them to train on again."""

from dataclasses import dataclass

import numpy as np
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import Batch, FeatureContract

from hiertk_cloud.log import DamagedEntryError, LogEntry, LogReader

DEFAULT_CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class NextBatch:
    """A batch at its turn. train_number is None for one that is not to be trained on."""

    turn: int
    train_number: int | None
    batch: Batch


@dataclass(frozen=True)
class LeftOut:
    """A turn that trains and measures nothing: a stale batch, or (with the damage) a damaged one.

    device: empty if it is not known any more.
    """

    turn: int
    device: str
    damage: str = ""


class BatchSource:
    """Reads the log's batches turn by turn, and earlier ones again.

    cache_bytes: what replay may keep of them in memory.
    """

    def __init__(
        self, reader: LogReader, manifest: Manifest, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self._reader = reader
        self._contract = FeatureContract(manifest)
        self.cache_bytes = cache_bytes

    def at_turn(self, turn: int) -> NextBatch | LeftOut | None:
        """Return the batch of a turn; None if no batch has it yet. Raises StorageError."""
        entry = self._reader.at_turn(turn)
        if entry is None:
            if turn > self._reader.last_turn():
                return None
            return LeftOut(turn, "", f"turn {turn} is missing in the log")
        if entry.train_number is None and not entry.held_out:
            return LeftOut(turn, entry.device)
        try:
            batch = self._decode(entry)
        except DamagedEntryError as error:
            return LeftOut(turn, entry.device, str(error))
        return NextBatch(turn, entry.train_number, batch)

    def training_batch(self, train_number: int) -> Batch:
        """Return the n-th batch to train on, counted from 1.

        Raises DamagedEntryError if it is not there, StorageError.
        """
        return self._decode(self._reader.training_batch(train_number))

    def newest_training(self, turn: int) -> int:
        """Return the number of the newest training batch up to a turn, 0 for none.

        Raises StorageError.
        """
        return self._reader.newest_training(turn)

    def held_out_turns(self, device: str, edge_step: int, turn: int) -> list[int]:
        """Return the turns of a device's held-out batches of one edge step. Raises StorageError."""
        return self._reader.held_out_turns(device, edge_step, turn)

    def last_turn(self) -> int:
        """Return the newest turn that was given, 0 for none. Raises StorageError."""
        return self._reader.last_turn()

    def _decode(self, entry: LogEntry) -> Batch:
        try:
            return self._contract.check(self._contract.parse(entry.message))
        except ProtocolError as error:
            raise DamagedEntryError(f"the log is damaged at turn {entry.turn}: {error}") from error


def draw_replay(train_number: int, count: int, seed: int, window: int) -> list[int]:
    """Draw `count` of the `window` training batches below `train_number`, with repetition.

    Depends on nothing but the arguments, so that a resumed run draws the same.
    """
    if train_number <= 1 or count == 0:
        return []
    generator = np.random.default_rng([seed, train_number])
    oldest = max(1, train_number - window)
    return [int(number) for number in generator.integers(oldest, train_number, count)]
