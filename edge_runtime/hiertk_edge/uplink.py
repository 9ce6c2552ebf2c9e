"""The uplink: a thread that sends what the spool holds, again and again until the cloud has it.

Learning never waits for it. What comes in from the broker is only noted by the link's thread and
handled here, so that no message can end the link.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import paho.mqtt.client as paho
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch, ModelStatus
from hiertk_protocol.messages import MAX_MESSAGE_BYTES, parse_ack, parse_model_status
from hiertk_protocol.mqtt import BrokerAddress, Handlers, Incoming, MqttLink, Will
from hiertk_protocol.topics import Topics

from hiertk_edge.spool import Spool
from hiertk_edge.window import SendWindow, WindowLimits

_INBOX = 256
_LOGGED_REASONS = 20
_log = logging.getLogger(__name__)

# Not one default value only: that would be an empty payload, which deletes the retained status.
_STATUS_OF_THE_WILL = DeviceStatus(
    state=DeviceStatus.OFFLINE,
    early_exit_loss=math.nan,
    early_exit_accuracy=math.nan,
    early_exit_held_out_accuracy=math.nan,
    step_ms=math.nan,
)


@dataclass(frozen=True)
class UplinkLimits:
    """Limits of one uplink."""

    window: WindowLimits = field(default_factory=WindowLimits)
    status_every_s: float = 1.0


class Uplink:
    """Sends the spool's messages in order while the cloud is online, and the device's status."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        deployment: str,
        device: str,
        spool: Spool,
        limits: UplinkLimits | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Raises ConfigError if the credentials cannot be used with this address."""
        self._topics = Topics(deployment)
        self._device = device
        self._spool = spool
        self._limits = limits or UplinkLimits()
        self._window = SendWindow(self._limits.window)
        self._link = MqttLink(
            address,
            client_id=f"hiertk-{deployment}-{device}",
            subscriptions=(self._topics.ack(device), self._topics.model),
            will=self._last_words(_STATUS_OF_THE_WILL),
            handlers=Handlers(self._on_message, self._on_up, self._on_down),
            max_message_bytes=MAX_MESSAGE_BYTES,
            credentials=credentials,
        )
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._failure: Exception | None = None
        # Shared with the trainer's and the link's thread, under the condition:
        self._woken = threading.Condition()
        self._is_woken = False
        self._is_stopping = False
        self._inbox: deque[Callable[[], None]] = deque()
        self._report = DeviceStatus()
        # Changed by the uplink's own thread only:
        self._model = ModelStatus()
        self._carried: list[paho.MQTTMessageInfo] = []
        self._sent_total = 0
        self._sent_bytes = 0
        self._published = DeviceStatus()
        self._status_due = 0.0
        self._told: set[str] = set()

    @property
    def max_message_bytes(self) -> int:
        """The largest message that the cloud takes, as far as it is known."""
        return min(self._model.max_message_bytes or MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES)

    @property
    def cloud_is_online(self) -> bool:
        """Whether broker and cloud can be reached now."""
        return self._link.is_up and self._model.state == ModelStatus.ONLINE

    def start(self) -> None:
        """Begin to connect and to send; returns at once."""
        self._link.start()
        self._thread.start()

    def report(self, status: DeviceStatus) -> None:
        """Take the trainer's part of the status, and look into the spool for what is new."""
        with self._woken:
            self._report = status
            self._wake()

    def status(self) -> DeviceStatus:
        """Return the newest report, with what spool and uplink add to it."""
        status = DeviceStatus()
        with self._woken:
            status.CopyFrom(self._report)
        totals = self._spool.totals
        status.spool_batches = totals.held
        status.spool_bytes = totals.held_bytes
        status.spooled_total = totals.spooled
        status.dropped_total = totals.dropped
        status.refused_total = totals.refused
        status.samples_total = totals.samples
        status.payload_bytes_total = totals.payload_bytes
        status.sent_total = self._sent_total
        status.sent_bytes = self._sent_bytes
        return status

    def check(self) -> None:
        """Raise what ended the uplink's thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def stop(self, state: DeviceStatus.State) -> None:
        """Stop sending, publish the last state and disconnect."""
        with self._woken:
            self._is_stopping = True
            self._wake()
        self._thread.join()
        status = self.status()
        status.state = state
        self._link.stop(last_words=self._last_words(status))

    def _last_words(self, status: DeviceStatus) -> Will:
        return Will(self._topics.status(self._device), status.SerializeToString())

    def _wake(self) -> None:
        self._is_woken = True
        self._woken.notify()

    def _on_message(self, incoming: Incoming) -> None:
        with self._woken:
            if len(self._inbox) < _INBOX:  # what a flood loses, the cloud says again
                is_model = incoming.topic == self._topics.model
                take = self._take_model if is_model else self._take_ack
                self._inbox.append(partial(take, incoming.payload))
            self._wake()

    def _on_up(self) -> None:
        with self._woken:
            self._inbox.append(self._came_up)
            self._wake()

    def _on_down(self, reason: str) -> None:
        held = self._spool.totals.held
        _log.warning("%s: training goes on, %d messages wait in the spool", reason, held)
        with self._woken:
            self._inbox.append(self._went_down)
            self._wake()

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._empty_inbox()
                self._send_again_if_late()
                self._send_what_fits()
                self._publish_status()
                self._sleep()
        except Exception as error:  # noqa: BLE001  (check() raises it in the trainer's thread)
            self._failure = error

    def _empty_inbox(self) -> None:
        with self._woken:
            self._is_woken = False
            events = list(self._inbox)
            self._inbox.clear()
        for event in events:
            self._take(event)

    def _take(self, event: Callable[[], None]) -> None:
        try:
            event()
        except ProtocolError as error:
            self._tell_once(f"ignored from the broker: {error}")

    def _sleep(self) -> None:
        deadline = self._window.deadline
        until = self._status_due if deadline is None else min(deadline, self._status_due)
        with self._woken:
            if not self._is_woken:
                self._woken.wait(max(0.0, until - time.monotonic()))

    def _came_up(self) -> None:
        _log.info("connected to the broker")
        self._published = DeviceStatus()  # the broker may hold our last will
        self._start_over()

    def _went_down(self) -> None:
        self._model = ModelStatus()
        self._start_over()

    def _start_over(self) -> None:
        self._window.restart()
        self._carried.clear()

    def _take_model(self, payload: bytes) -> None:
        old, self._model = self._model, parse_model_status(payload)
        if (old.state, old.incarnation) != (self._model.state, self._model.incarnation):
            is_online = self._model.state == ModelStatus.ONLINE
            _log.info("the cloud is %s", "online" if is_online else "offline")
            self._start_over()

    def _take_ack(self, payload: bytes) -> None:
        ack = parse_ack(payload)
        if ack.epoch != self._spool.epoch:
            raise ProtocolError("an ack for another spool than this one")
        refused = {refusal.seq: refusal.reason for refusal in ack.refused}
        for reason in self._spool.settle(ack.through, ack.beyond, refused).values():
            self._tell_once(f"the cloud refused a message: {reason[:200]}")
        self._window.acknowledged(ack.through, {*ack.beyond, *refused}, time.monotonic())
        self._carried = [info for info in self._carried if not info.is_published()]

    def _send_again_if_late(self) -> None:
        now = time.monotonic()
        deadline = self._window.deadline
        if deadline is None or now < deadline:
            return
        if self._window.can_be_patient and not all(i.is_published() for i in self._carried):
            self._window.be_patient()  # a slow link still carries them
            return
        self._window.timed_out()
        self._carried.clear()
        self._tell_once(
            "the cloud is online but acknowledges nothing: sending again "
            "(may this device publish to this broker?)"
        )

    def _send_what_fits(self) -> None:
        while self.cloud_is_online and not self._window.is_full:
            stored = self._spool.next_after(self._window.sent_through)
            if stored is None:
                return
            # Protobuf merges what is concatenated: the last floor counts.
            floor = FeatureBatch(floor=self._spool.floor).SerializeToString()
            payload = stored.message + floor
            if len(payload) > self.max_message_bytes:
                self._drop_too_large(stored.seq, len(payload))
            elif not self._window.has_room(len(payload)) or not self._send(stored.seq, payload):
                return

    def _send(self, seq: int, payload: bytes) -> bool:
        info = self._link.publish(self._topics.features(self._device), payload)
        if info is None or info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        self._carried.append(info)
        self._window.sent(seq, len(payload), time.monotonic())
        self._sent_total += 1
        self._sent_bytes += len(payload)
        return True

    def _drop_too_large(self, seq: int, size: int) -> None:
        # It would never arrive, and everything behind it would wait.
        self._spool.drop(seq)
        self._tell_once(
            f"dropped a message of {size} bytes: the cloud takes up to {self.max_message_bytes}"
        )

    def _publish_status(self) -> None:
        now = time.monotonic()
        if now < self._status_due and self._report.state == self._published.state:
            return
        self._status_due = now + self._limits.status_every_s
        status = self.status()
        payload = status.SerializeToString()
        if payload == self._published.SerializeToString():
            return
        if self._link.publish(self._topics.status(self._device), payload, retain=True) is not None:
            self._published = status

    def _tell_once(self, text: str) -> None:
        if text not in self._told and len(self._told) < _LOGGED_REASONS:
            self._told.add(text)
            _log.warning("%s", text)
