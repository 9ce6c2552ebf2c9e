"""One simulated device: numbers its messages, sends them until they are acknowledged, says so."""

import secrets
from collections import deque

from hiertk_edge.uplink.window import SendWindow, WindowLimits
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch, ModelStatus
from hiertk_protocol.messages import parse_ack, parse_model_status
from hiertk_protocol.mqtt import Will
from hiertk_protocol.topics import Topics

_STATUS_EVERY_S = 1.0
_MOST_WAITING = 1000  # made and not acknowledged: then the oldest are not kept, as in a full spool


class SimulatedDevice:
    """The protocol of a device, without a network and a clock: the owner brings both.

    Times are seconds of any monotonic clock. waits_s: from the first sending of each message to its
    ack.
    """

    def __init__(self, topics: Topics, name: str, features: FeatureBatch) -> None:
        self.name = name
        self._topics = topics
        self._epoch = secrets.randbits(64)
        header = FeatureBatch(device=name, epoch=self._epoch)
        self._body = features.SerializeToString() + header.SerializeToString()
        self._window = SendWindow(WindowLimits())
        self._held: deque[int] = deque()
        self._first_sent: dict[int, float] = {}
        self._next_seq = 1
        self._model = ModelStatus()
        self._status_due = 0.0
        self._told = b""
        self.made = 0
        self.sent = 0
        self.sent_again = 0
        self.sent_bytes = 0
        self.acknowledged = 0
        self.refused = 0
        self.dropped = 0
        self.reasons: set[str] = set()
        self.waits_s: list[float] = []

    @property
    def subscriptions(self) -> tuple[str, str]:
        """The topics that it reads."""
        return (self._topics.ack(self.name), self._topics.model)

    @property
    def will(self) -> Will:
        """What the broker says if the connection breaks."""
        return self.last_words(DeviceStatus.OFFLINE)

    @property
    def cloud_is_online(self) -> bool:
        """Whether the cloud takes messages."""
        return self._model.state == ModelStatus.ONLINE

    @property
    def is_drained(self) -> bool:
        """Whether everything made is acknowledged."""
        return not self._held

    def make_batch(self) -> None:
        """Put one more message into the spool, in memory here."""
        self._held.append(self._next_seq)
        self._next_seq += 1
        self.made += 1
        if len(self._held) > _MOST_WAITING:
            self._first_sent.pop(self._held.popleft(), None)
            self.dropped += 1

    def take(self, topic: str, payload: bytes, now: float) -> None:
        """Take an ack or the cloud's status. Raises ProtocolError."""
        if topic == self._topics.model:
            self._take_model(parse_model_status(payload))
        elif topic == self._topics.ack(self.name):
            self._take_ack(payload, now)

    def to_send(self, now: float) -> list[bytes]:
        """Return the messages that the window has room for now."""
        deadline = self._window.deadline
        if deadline is not None and now >= deadline:
            self._window.timed_out()
        found: list[bytes] = []
        if not self.cloud_is_online or self._window.is_full:
            return found
        for seq in self._held:
            if seq <= self._window.sent_through:
                continue
            tail = FeatureBatch(seq=seq, floor=self._held[0], edge_step=seq, class_map_version=1)
            payload = self._body + tail.SerializeToString()  # protobuf merges: the last counts
            if not self._window.has_room(len(payload)):
                break
            self._note(seq, len(payload), now)
            found.append(payload)
        return found

    def status_if_due(self, now: float) -> bytes | None:
        """Return the status at most once a second, and only if it is another one; else None."""
        if now < self._status_due:
            return None
        self._status_due = now + _STATUS_EVERY_S
        payload = bytes(self._status(DeviceStatus.TRAINING).SerializeToString())
        if payload == self._told:
            return None
        self._told = payload
        return payload

    def last_words(self, state: DeviceStatus.State) -> Will:
        """Return the retained status to end with."""
        return Will(self._topics.status(self.name), self._status(state).SerializeToString())

    def _status(self, state: DeviceStatus.State) -> DeviceStatus:
        return DeviceStatus(
            state=state,
            edge_step=self.made,
            early_exit_loss=1.0,
            early_exit_held_out_accuracy=float("nan"),
            spool_batches=len(self._held),
            spooled_total=self.made,
            dropped_total=self.dropped,
            refused_total=self.refused,
            sent_total=self.sent,
            sent_bytes=self.sent_bytes,
        )

    def _note(self, seq: int, size: int, now: float) -> None:
        self._window.sent(seq, size, now)
        self.sent += 1
        self.sent_bytes += size
        self.sent_again += seq in self._first_sent
        self._first_sent.setdefault(seq, now)

    def _take_model(self, status: ModelStatus) -> None:
        old, self._model = self._model, status
        if (old.state, old.incarnation) != (status.state, status.incarnation):
            self._window.restart()

    def _take_ack(self, payload: bytes, now: float) -> None:
        ack = parse_ack(payload)
        if ack.epoch != self._epoch:
            raise ProtocolError("an ack for another epoch")
        refused = {one.seq: one.reason for one in ack.refused}
        beyond = {*ack.beyond, *refused}
        settled = [seq for seq in self._held if seq <= ack.through or seq in beyond]
        for seq in settled:
            if seq in refused:
                self.refused += 1
                self.reasons.add(refused[seq][:200])
            else:
                self.acknowledged += 1
                self.waits_s.append(now - self._first_sent.get(seq, now))
            self._first_sent.pop(seq, None)
        if settled:
            gone = set(settled)
            self._held = deque(seq for seq in self._held if seq not in gone)
        self._window.acknowledged(ack.through, beyond, now)
