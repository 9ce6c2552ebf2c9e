"""Ingest: what comes from the broker is checked, committed to the log, and then acknowledged.

The link's thread only fills a bounded queue; a writer thread empties it in groups. Whatever is
lost on the way is not acknowledged, and the device sends it again.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import Ack, FeatureBatch, Refusal
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import MAX_MESSAGE_BYTES, BatchKey, FeatureContract
from hiertk_protocol.topics import Topics

from hiertk_cloud.log import Accepted, DurableLog, Refused, Settled

MAX_PAYLOAD_BYTES = MAX_MESSAGE_BYTES + 4096
# Few bytes may unpack to many values, and activations and gradients multiply them.
MAX_BATCH_VALUES = 1 << 24
_QUEUE_MESSAGES = 256
_GROUP_MESSAGES = 64
_GROUP_S = 0.02
_POLL_S = 0.2

Publish = Callable[[str, bytes], object]
Tell = Callable[[str, str], None]


class Judge:
    """Decides what to do with a message: store it, refuse it, or leave it without an answer."""

    def __init__(self, manifest: Manifest) -> None:
        self._topics = Topics(manifest.deployment)
        self._contract = FeatureContract(manifest)
        self._open_slots = len(manifest.classes.names)

    def judge(self, topic: str, payload: bytes) -> Accepted | Refused:
        """Return what the log is to do. Raises ProtocolError if no ack could name the message."""
        message = self._contract.parse(payload)
        sender = self._topics.device_of(topic)
        if message.device != sender:
            # An answer would go to the device that is named, which did not send this.
            raise ProtocolError(f"{sender} sends in the name of {message.device}")
        key = BatchKey(message.device, message.epoch, message.seq)
        try:
            held_out = self._check(message)
        except ProtocolError as error:
            return Refused(key, message.floor, str(error))
        return Accepted(key, message.floor, held_out, payload)

    def _check(self, message: FeatureBatch) -> bool:
        batch = self._contract.check(message)
        highest = int(batch.labels.max())
        if highest >= self._open_slots:
            # Its loss would be the class bias, 1e9.
            raise ProtocolError(f"label {highest} has no class: {self._open_slots} slots are open")
        size = batch.features.values.size
        if size > MAX_BATCH_VALUES:
            raise ProtocolError(f"{size} values, more than the {MAX_BATCH_VALUES} of one step")
        return batch.held_out


class Ingest:
    """Takes messages in any thread, and commits them in the thread that calls `turn`."""

    def __init__(
        self, log: DurableLog, manifest: Manifest, *, publish: Publish, tell: Tell
    ) -> None:
        self._log = log
        self._judge = Judge(manifest)
        self._topics = Topics(manifest.deployment)
        self._publish = publish
        self._tell = tell
        self._queue: queue.Queue[tuple[str, bytes]] = queue.Queue(_QUEUE_MESSAGES)
        self._lock = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self.arrived = threading.Event()

    @property
    def dropped_total(self) -> int:
        """Messages that got no answer: unreadable, forged, too large, too many."""
        with self._lock:
            return sum(self._dropped.values()) + self._log.totals.ignored

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker; never blocks."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            self._drop("too-large", f"{len(payload)} bytes on {topic[:200]!r}")
            return
        try:
            self._queue.put_nowait((topic, payload))
        except queue.Full:
            self._drop("too-many", "more messages than the disk can take: devices send them again")

    def turn(self) -> None:
        """Commit and acknowledge what has come, after a short wait for it. Raises StorageError."""
        group = self._next_group()
        arrivals = [arrival for item in group if (arrival := self._arrival(*item)) is not None]
        if not arrivals:
            return
        before = self._log.totals
        settled = self._log.append(arrivals)
        self.arrived.set()
        for stream in settled:
            self._publish(self._topics.ack(stream.device), _ack(stream).SerializeToString())
        if self._log.totals.ignored > before.ignored:
            self._tell("ignored", "a device is too far ahead of its ack, or there are too many")

    def _next_group(self) -> list[tuple[str, bytes]]:
        try:
            group = [self._queue.get(timeout=_POLL_S)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + _GROUP_S
        with suppress(queue.Empty):
            while len(group) < _GROUP_MESSAGES:
                group.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
        return group

    def _arrival(self, topic: str, payload: bytes) -> Accepted | Refused | None:
        try:
            arrival = self._judge.judge(topic, payload)
        except ProtocolError as error:
            self._drop("unusable", f"{error} (on {topic[:200]!r})")
            return None
        if isinstance(arrival, Refused):
            self._tell("refused", f"{arrival.key.device}: {arrival.reason}")
        return arrival

    def _drop(self, kind: str, text: str) -> None:
        with self._lock:
            self._dropped[kind] += 1
        self._tell(kind, text)


def _ack(settled: Settled) -> Ack:
    return Ack(
        epoch=settled.epoch,
        through=settled.through,
        beyond=settled.beyond,
        refused=[Refusal(seq=seq, reason=reason) for seq, reason in settled.refused],
    )
