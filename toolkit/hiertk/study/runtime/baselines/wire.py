"""A baseline's connection: batches one way, and batches or acknowledgements the other."""

import queue
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Literal

from hiertk_protocol.errors import HiertkError, ProtocolError, TransportError
from hiertk_protocol.mqtt import Handlers, Incoming, MqttLink, Will, parse_broker
from paho.mqtt.client import MQTTMessageInfo
from typing_extensions import Self

from hiertk.study.runtime.baselines.pieces import (
    MAX_PIECE_BYTES,
    Assembly,
    Batch,
    decode_piece,
    encode_pieces,
)

WINDOW = 8  # batches that are sent and not taken yet: a sender's memory, and the broker's
# On a link of 1.1 Mbit/s this takes 8 s, and the client's ping, which waits behind it, may take 10.
_IN_FLIGHT_BYTES = 1 << 20
_PATIENCE_S = 600.0
_CONNECT_S = 60.0
_LOOK_S = 1.0
_SHOWN = 200
_ACK = struct.Struct("<2sI")
_ACK_MAGIC = b"HA"
_TOPIC = "hiertk-study"

Side = Literal["device", "cloud"]


class Wire:
    """One side of a baseline's link; it breaks with the link, and so does the cell.

    Batches are taken in the order in which they were sent. Entered, it is connected.
    """

    def __init__(self, broker: str, side: Side) -> None:
        other: Side = "cloud" if side == "device" else "device"
        self._batches_topic, self._acks_topic = f"{_TOPIC}/{side}/batch", f"{_TOPIC}/{side}/ack"
        self._gone_topic = f"{_TOPIC}/{side}/gone"
        self._other = other
        self._assembly = Assembly()
        self._arrived: queue.Queue[Batch | HiertkError] = queue.Queue()
        self._room = threading.Semaphore(WINDOW)
        self._in_flight: deque[tuple[MQTTMessageInfo, int]] = deque()
        self._up = threading.Event()
        self._broken: HiertkError | None = None
        self._link = MqttLink(
            parse_broker(broker),
            client_id=f"{_TOPIC}-{side}",
            subscriptions=tuple(f"{_TOPIC}/{other}/{what}" for what in ("batch", "ack", "gone")),
            will=Will(self._gone_topic, b""),
            handlers=Handlers(self._receive, self._up.set, self._break),
            max_message_bytes=MAX_PIECE_BYTES,
        )

    def __enter__(self) -> Self:
        self._link.start()
        if not self._up.wait(_CONNECT_S):
            self._link.stop()
            raise self._broken or TransportError("the broker does not answer")
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if error is not None:  # else the other side would wait
            sent = self._link.publish(self._gone_topic, str(error)[:_SHOWN].encode())
            if sent is not None:
                with suppress(RuntimeError, ValueError):  # the link broke just now: the will speaks
                    sent.wait_for_publish(_LOOK_S)
        self._link.stop()

    def send(self, batch: Batch) -> None:
        """Hand a batch over once there is room in the window. Raises TransportError."""
        self._take_room()
        self.reply(batch)

    def reply(self, batch: Batch) -> None:
        """Hand a batch over that the other side waits for, and does not acknowledge."""
        for message in encode_pieces(batch):
            self._publish(self._batches_topic, message)

    def receive(self) -> Batch:
        """Return the next batch. Raises TransportError, ProtocolError if the other side broke."""
        try:
            found = self._arrived.get(timeout=_PATIENCE_S)
        except queue.Empty as error:
            raise TransportError(f"nothing has come for {_PATIENCE_S:.0f} s") from error
        if isinstance(found, HiertkError):
            raise found
        return found

    def acknowledge(self, batch: Batch) -> None:
        """Say that a batch is taken: the other side may send one more."""
        self._publish(self._acks_topic, _ACK.pack(_ACK_MAGIC, batch.number))

    def drain(self) -> None:
        """Wait until all batches are taken."""
        for _ in range(WINDOW):
            self._take_room()

    def _take_room(self) -> None:
        if not self._room.acquire(timeout=_PATIENCE_S):
            raise self._broken or TransportError(f"nothing was taken for {_PATIENCE_S:.0f} s")
        if self._broken is not None:
            raise self._broken

    def _publish(self, topic: str, message: bytes) -> None:
        """Send a message once the broker has taken enough of those before."""
        while sum(size for _, size in self._in_flight) > _IN_FLIGHT_BYTES - len(message):
            self._wait_for(self._in_flight.popleft()[0])
        sent = self._link.publish(topic, message)
        if sent is None:
            raise self._broken or TransportError("the link is down")
        self._in_flight.append((sent, len(message)))

    def _wait_for(self, sent: MQTTMessageInfo) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not sent.is_published():
            if self._broken is not None:
                raise self._broken
            if time.monotonic() > deadline:
                raise TransportError(f"the broker has taken nothing for {_PATIENCE_S:.0f} s")
            sent.wait_for_publish(_LOOK_S)

    def _receive(self, incoming: Incoming) -> None:
        """Sort what came; in the link's thread, which an error must not end."""
        try:
            if incoming.topic.endswith("/gone"):
                why = incoming.payload[:_SHOWN].decode(errors="replace") or "it was killed"
                self._fail(TransportError(f"the {self._other} is gone: {why}"))
                return
            if incoming.topic.endswith("/ack"):
                self._acknowledged(incoming.payload)
                return
            batch = self._assembly.add(decode_piece(incoming.payload))
            if batch is not None:
                self._put(batch)
        except ProtocolError as error:
            self._fail(error)

    def _put(self, batch: Batch) -> None:
        if self._arrived.qsize() > WINDOW:
            raise ProtocolError(f"batch {batch.number} came beyond the window")
        self._arrived.put(batch)

    def _acknowledged(self, payload: bytes) -> None:
        if len(payload) != _ACK.size or _ACK.unpack(payload)[0] != _ACK_MAGIC:
            raise ProtocolError("not an acknowledgement")
        self._room.release()

    def _break(self, reason: str) -> None:
        self._fail(TransportError(f"the link broke: {reason}: run the study again"))

    def _fail(self, error: HiertkError) -> None:
        self._broken = error
        self._arrived.put(error)
        self._room.release()
