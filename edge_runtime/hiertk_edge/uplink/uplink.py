"""The uplink's thread: it connects, sends, and tells the device's status.

Learning never waits for it. What comes in from the broker is only noted by the link's thread and
handled here, so that no message can end the link.
"""

import logging
import math
import threading
import time
from functools import partial

from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ProtocolError, StorageError, TransportError
from hiertk_protocol.hiertk_pb2 import DeviceStatus, ModelStatus
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.messages import MAX_MESSAGE_BYTES, parse_ack
from hiertk_protocol.mqtt import BrokerAddress, Handlers, Incoming, MqttLink, Request, Will
from hiertk_protocol.topics import Topics

from hiertk_edge.damaged_file import DamagedError
from hiertk_edge.spool import Spool
from hiertk_edge.uplink.bits import BitsRule, LinkState
from hiertk_edge.uplink.classes import ClassAsking, ClassLink
from hiertk_edge.uplink.cloud_view import CloudView
from hiertk_edge.uplink.inbox import Event, Inbox
from hiertk_edge.uplink.limits import UplinkLimits
from hiertk_edge.uplink.requests import Requests
from hiertk_edge.uplink.sending import Sender
from hiertk_edge.uplink.status import (
    STATUS_OF_THE_WILL,
    SpoolWatch,
    StatusRhythm,
    add_problems,
    add_totals,
)
from hiertk_edge.uplink.wire import Wire, largest_payload, packet_bytes

_LOGGED_REASONS = 20
_CLOUD_MISSED_AFTER_S = 30.0
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 60.0
_log = logging.getLogger(__name__)


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
        problems: Problems | None = None,
        bundle_bits: int = 8,
        classes: ClassLink | None = None,
    ) -> None:
        """Prepare. bundle_bits: the bundle's own, which are never exceeded.

        classes: the device's; None: class maps are not looked at, and no slots asked for. Raises
        ConfigError if the credentials cannot be used with this address.
        """
        self._topics = Topics(deployment)
        self._device = device
        self._spool = spool
        self._problems = problems or Problems(lambda _kind, text: _log.warning("%s", text))
        limits = limits or UplinkLimits()
        reply_to = self._topics.predict_reply(device)
        self._link = MqttLink(
            address,
            client_id=f"hiertk-{deployment}-{device}",
            subscriptions=(
                self._topics.ack(device),
                self._topics.model,
                reply_to,
                *(self._class_topics if classes else ()),
            ),
            will=self._last_words(STATUS_OF_THE_WILL),
            handlers=Handlers(self._on_message, self._on_up, self._on_down),
            max_message_bytes=MAX_MESSAGE_BYTES,
            credentials=credentials,
        )
        self._wire = Wire(self._link, spool, limits)
        self._requests = Requests(reply_to)
        self._classes = classes
        self._asking: ClassAsking | None = None
        if classes is not None:
            self._asking = ClassAsking(
                classes, self._topics.class_reply(device), self._ask_for_class, self._problems
            )
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._failure: Exception | None = None
        # Shared with the trainer's and the link's thread:
        self._inbox = Inbox()
        self._is_stopping = False
        self._report: DeviceStatus | None = None  # replaced, never changed
        # Changed by the uplink's own thread only:
        self._cloud = CloudView()
        self._sender = Sender(
            spool, self._wire, self._topics.features(device), limits, self._problems
        )
        self._bits = BitsRule(limits.bits, bundle_bits)
        self._rhythm = StatusRhythm(limits.status_every_s, limits.bytes_per_day)
        self._watch = SpoolWatch(spool.totals, spool.limits, self._problems)
        self._retry_s = _FIRST_RETRY_S
        self._told: set[str] = set()

    @property
    def max_message_bytes(self) -> int:
        """The largest message that cloud and broker take, as far as it is known."""
        broker = self._link.broker_limits.packet_bytes
        of_packet = largest_payload(self._topics.features(self._device), broker)
        return min(self._cloud.max_message_bytes, of_packet)

    @property
    def bits(self) -> int:
        """The bits that features are to have now."""
        return self._bits.bits

    @property
    def cloud_is_online(self) -> bool:
        """Whether broker and cloud can be reached now."""
        return self._link.is_up and self._cloud.is_online

    @property
    def cloud(self) -> ModelStatus | None:
        """What the cloud says of its training; None while it is out of reach. Not to be changed."""
        return self._cloud.model if self._link.is_up else None

    def start(self) -> None:
        """Begin to connect and to send; returns at once."""
        self._link.start()
        self._thread.start()

    def report(self, status: DeviceStatus) -> None:
        """Take the trainer's part of the status, and look into the spool for what is new."""
        self._report = status
        self._inbox.wake()

    def status(self) -> DeviceStatus:
        """Return the newest report, with what spool and uplink add to it."""
        status = DeviceStatus()
        if self._report is not None:
            status.CopyFrom(self._report)
        add_totals(status, self._spool.totals)
        add_problems(status, self._problems)
        status.sent_total = self._sender.sent_total
        status.sent_bytes = self._sender.sent_bytes
        status.bits = self.bits
        status.wire_bytes = self._wire.spent()
        status.budget_left_bytes = self._wire.left()
        return status

    def ask(self, payload: bytes, deadline_s: float) -> bytes:
        """Send a prediction request and return the reply's payload; any thread may ask.

        It goes ahead of features that wait for the rate limit. Raises TransportError with a short
        reason: the cloud is offline, no answer within the deadline, the daily budget is used up.
        """
        topic = self._topics.predict(self._device)
        if not self.cloud_is_online:
            raise TransportError("the cloud is offline")
        if len(payload) + 256 > largest_payload(topic, self._link.broker_limits.packet_bytes):
            raise TransportError(f"the broker takes no request of {len(payload)} bytes")
        if not self._wire.fits_the_day(packet_bytes(topic, len(payload))):
            raise TransportError("the daily budget is used up")

        def send(request: Request) -> bool:
            return self._wire.publish(topic, payload, request=request) is not None

        return self._requests.ask(send, deadline_s)

    def check(self) -> None:
        """Raise what ended the uplink's thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def stop(self, state: DeviceStatus.State) -> None:
        """Stop sending, publish the last state and disconnect."""
        self._is_stopping = True
        self._inbox.close()
        self._thread.join()
        self._requests.give_up("the device is stopping")
        status = self.status()
        status.state = state
        last_words = self._last_words(status)
        if self._link.is_up:
            self._wire.count(packet_bytes(last_words.topic, len(last_words.payload)))
        self._link.stop(last_words=last_words)

    @property
    def _class_topics(self) -> tuple[str, str]:
        return self._topics.class_map, self._topics.class_reply(self._device)

    def _ask_for_class(self, payload: bytes, request: Request) -> bool:
        topic = self._topics.class_request(self._device)
        if not self._wire.fits_the_day(packet_bytes(topic, len(payload), request)):
            return False
        return self._wire.publish(topic, payload, request=request) is not None

    def _last_words(self, status: DeviceStatus) -> Will:
        return Will(self._topics.status(self._device), status.SerializeToString())

    def _on_message(self, incoming: Incoming) -> None:
        if incoming.topic == self._topics.predict_reply(self._device):
            self._requests.take(incoming)
            return
        if self._asking is not None and incoming.topic == self._topics.class_reply(self._device):
            self._inbox.put_message(partial(self._asking.take, incoming))
            return
        if self._classes is not None and incoming.topic == self._topics.class_map:
            # Not by the inbox, where a flood might push it out: it does not come again by itself.
            self._classes.hand(incoming.payload)
            return
        is_model = incoming.topic == self._topics.model
        take = self._take_model if is_model else self._take_ack
        self._inbox.put_message(partial(take, incoming.payload))

    def _on_up(self) -> None:
        self._inbox.put(self._came_up)

    def _on_down(self, reason: str) -> None:
        self._requests.give_up("the cloud is offline")
        self._problems.end("broker")  # another reason is told again
        self._problems.begin("broker", f"{reason}: training goes on, messages wait in the spool")
        self._inbox.put(self._went_down)

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._take_a_turn()
        except Exception as error:  # noqa: BLE001  (check() raises it in the trainer's thread)
            self._failure = error

    def _take_a_turn(self) -> None:
        try:
            self._handle_all(self._inbox.take())
            self._spool.expire()
            self._sender.send_again_if_late()
            if self.cloud_is_online:
                self._sender.send_what_fits(self.max_message_bytes)
                self._problems.end("uplink", "the spool can be read again: its messages are sent")
                if self._asking is not None:
                    self._asking.ask_if_due()
            self._look_at_the_link()
            self._publish_status()
            self._wire.flush_if_due()
        except DamagedError:
            raise  # the device ends, and the next start sets the spool aside
        except StorageError as error:
            self._problems.begin("uplink", f"nothing is sent: {error}")
            self._inbox.wait(time.monotonic() + self._retry_s)
            self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
            return
        self._retry_s = _FIRST_RETRY_S
        self._inbox.wait(min(self._sender.deadline, self._rhythm.due, self._class_due))

    @property
    def _class_due(self) -> float:
        if self._asking is None or not self.cloud_is_online:
            return math.inf
        return self._asking.due

    def _handle_all(self, events: list[Event]) -> None:
        """Handle each, whatever another one meets; then raise the first fault of the storage."""
        faults = [fault for event in events if (fault := self._handle(event))]
        if faults:
            raise faults[0]

    def _handle(self, event: Event) -> StorageError | None:
        try:
            event()
        except ProtocolError as error:
            self._tell_once(f"ignored from the broker: {error}")
        except DamagedError:
            raise
        except StorageError as error:
            return error
        return None

    def _came_up(self) -> None:
        _log.info("connected to the broker")
        self._problems.end("broker", "connected to the broker again")
        self._rhythm.forget()
        self._start_over()

    def _went_down(self) -> None:
        self._cloud.lose()
        self._start_over()

    def _start_over(self) -> None:
        self._sender.start_over(self._link.broker_limits.unacknowledged)

    def _take_model(self, payload: bytes) -> None:
        if not self._cloud.take(payload):
            return
        _log.info("the cloud is %s", "online" if self._cloud.is_online else "offline")
        if not self._cloud.is_online:
            self._requests.give_up("the cloud is offline")
        elif self._asking is not None:
            self._asking.start_over()
        self._start_over()

    def _take_ack(self, payload: bytes) -> None:
        for reason in self._sender.acknowledge(parse_ack(payload)):
            self._tell_once(f"the cloud refused a message: {reason[:200]}")

    def _look_at_the_link(self) -> None:
        offline_s = self._cloud.offline_s()
        if self._link.is_up and offline_s >= _CLOUD_MISSED_AFTER_S:
            self._problems.begin("cloud", "the broker is there, the cloud is not: features wait")
        elif offline_s == 0:
            self._problems.end("cloud", "the cloud is online again")
        self._watch.look(self._spool.totals)
        link = LinkState(self._sender.backlog_s(), offline_s, self._wire.share_of_the_day())
        self._bits.look(link, time.monotonic())

    def _publish_status(self) -> None:
        report, out_of_budget = self._report, self._sender.is_out_of_budget
        if report is None:  # the trainer has not begun: to others the device is offline
            self._rhythm.looked(0)
            return
        if not self._rhythm.is_due(report.state, out_of_budget=out_of_budget):
            return
        status = self.status()
        payload = status.SerializeToString()
        topic = self._topics.status(self._device)
        self._rhythm.looked(packet_bytes(topic, len(payload)))
        if self._rhythm.is_news(status) and self._wire.publish(topic, payload, retain=True):
            self._rhythm.published(status)

    def _tell_once(self, text: str) -> None:
        if text not in self._told and len(self._told) < _LOGGED_REASONS:
            self._told.add(text)
            _log.warning("%s", text)
