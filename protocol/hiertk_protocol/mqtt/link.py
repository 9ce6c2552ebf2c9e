"""One connection to the broker, kept up in a thread of its own; devices and cloud share it.

Each connection starts clean and nothing is queued in memory while it is down: what must not be
lost lives in the device's spool and is sent again until the cloud has acknowledged it.
"""

import random
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.mqtt.address import BrokerAddress
from hiertk_protocol.mqtt.records import (
    MAX_PACKET_BYTES,
    BrokerLimits,
    Handlers,
    Incoming,
    Request,
    Will,
)
from hiertk_protocol.tls_refusal import ask_why_refused, why_distrusted

KEEPALIVE_S = 10
_CONNECT_TIMEOUT_S = 5.0
_FIRST_RETRY_S = 0.25
_LAST_RETRY_S = 30.0
_LAST_RETRY_WHEN_REFUSED_S = 300.0  # somebody has to mend that first
_MOST_INFLIGHT = 20  # paho's own


class MqttLink:
    """Keeps one MQTT 5 connection up, with exponential backoff and jitter."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        subscriptions: Sequence[str],
        will: Will,
        handlers: Handlers,
        max_message_bytes: int,
        credentials: Credentials | None = None,
    ) -> None:
        """Raises ConfigError if the credentials cannot be used with this address."""
        self._address = address
        self._credentials = credentials or Credentials()
        self._credentials.check(tls=address.tls)
        self._client_id = client_id
        self._subscriptions = subscriptions
        self._will = will
        self._handlers = handlers
        self._max_packet_bytes = max_message_bytes + 1024
        self._client: paho.Client | None = None
        self._stopping = threading.Event()
        self._up = threading.Event()
        self._broker_limits = BrokerLimits()
        self._reason = ""
        self._refused = False
        self._thread = threading.Thread(target=self._keep_up, name="mqtt", daemon=True)

    @property
    def is_up(self) -> bool:
        """Whether messages can be sent now."""
        return self._up.is_set()

    @property
    def broker_limits(self) -> BrokerLimits:
        """What the newest connection's broker takes."""
        return self._broker_limits

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, request: Request | None = None
    ) -> paho.MQTTMessageInfo | None:
        """Hand a message over at QoS 1; None if the link is down."""
        client = self._client
        if client is None or not self._up.is_set():
            return None
        properties = None if request is None else _request_properties(request)
        return client.publish(topic, payload, qos=1, retain=retain, properties=properties)

    def stop(self, *, last_words: Will | None = None, timeout_s: float = 2.0) -> None:
        """Publish the last words, if the link is up, and disconnect."""
        info = None
        if last_words is not None:
            info = self.publish(last_words.topic, last_words.payload, retain=True)
        if info is not None:
            with suppress(RuntimeError, ValueError):  # the link broke just now: the will speaks
                info.wait_for_publish(timeout_s)
        self._stopping.set()
        client = self._client
        if client is not None:
            client.disconnect()
        if self._thread.is_alive():
            self._thread.join(_CONNECT_TIMEOUT_S + timeout_s)

    def _keep_up(self) -> None:
        told = ""
        retry_s = _FIRST_RETRY_S
        while not self._stopping.is_set():
            was_up = self._connect_and_serve()
            if self._stopping.is_set():
                return
            if was_up or not told or (self._refused and told != self._reason):
                told = self._reason
                self._handlers.down(told)
            longest_s = _LAST_RETRY_WHEN_REFUSED_S if self._refused else _LAST_RETRY_S
            retry_s = _FIRST_RETRY_S if was_up else min(2 * retry_s, longest_s)
            self._stopping.wait(retry_s * random.uniform(0.5, 1.0))

    def _connect_and_serve(self) -> bool:
        """Serve one connection until it breaks; return whether it ever was up."""
        was_up = False
        self._reason = ""
        self._refused = False
        try:
            client = self._new_client()
            client.connect(
                self._address.host,
                self._address.port,
                keepalive=KEEPALIVE_S,
                clean_start=True,
                properties=self._connect_properties(),
            )
            self._client = client
            if self._stopping.is_set():  # stop() came while there was no client to disconnect
                return False
            code = _serve(client)
            was_up = self._up.is_set()
            if not self._reason:
                self._reason = self._why_it_ended(code)
        except ssl.SSLCertVerificationError as error:
            self._refused = True
            why = why_distrusted(error, self._address.host, self._credentials)
            self._reason = f"{self._address} is not trusted: {why}"
        except ConfigError as error:  # a file went bad after the start: a renewal in progress?
            self._refused = True
            self._reason = str(error)
        except (OSError, ValueError) as error:
            was_up = self._up.is_set()
            self._reason = f"{self._address} cannot be reached: {error}"
        finally:
            self._up.clear()
            self._client = None
        return was_up

    def _why_it_ended(self, code: MQTTErrorCode) -> str:
        why = None
        if self._address.tls and not self._up.is_set() and not self._stopping.is_set():
            host, port = self._address.host, self._address.port
            why = ask_why_refused(host, port, self._credentials, _CONNECT_TIMEOUT_S)
        if why is None:
            return f"{self._address} went away ({paho.error_string(code)})"
        self._refused = True
        return f"{self._address} refuses the connection: {why}"

    def _connect_properties(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = self._max_packet_bytes
        return properties

    def _new_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        # As the broker said last time: paho takes no other number once it is connected.
        client.max_inflight_messages_set(min(_MOST_INFLIGHT, self._broker_limits.unacknowledged))
        client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        if self._address.tls:
            client.tls_set_context(self._credentials.tls_context())
        if self._credentials.username is not None:
            client.username_pw_set(self._credentials.username, self._credentials.password)
        client.on_socket_open = _send_small_packets_at_once
        client.on_socket_register_write = _leave_writing_to_the_loop
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        if code.is_failure:
            known = self._credentials.username is not None
            advice = ": check the user name and its password" if known else ""
            self._refuse(client, f"{self._address} refuses the connection: {code}{advice}")
            return
        self._broker_limits = BrokerLimits(
            packet_bytes=getattr(properties, "MaximumPacketSize", MAX_PACKET_BYTES),
            unacknowledged=getattr(properties, "ReceiveMaximum", 65_535),
        )
        client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self._subscriptions])

    def _on_subscribe(
        self, client: paho.Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [str(code) for code in codes if code.is_failure]
        if refused:
            self._refuse(client, f"{self._address} refuses a subscription: {refused[0]}")
            return
        self._up.set()
        self._handlers.up()

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = f"{self._address} ended the connection: {code}"

    def _refuse(self, client: paho.Client, reason: str) -> None:
        self._reason = reason
        self._refused = True
        client.disconnect()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", b"")
        self._handlers.message(Incoming(message.topic, bytes(message.payload), correlation))


def _request_properties(request: Request) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = request.correlation
    properties.MessageExpiryInterval = request.expires_s
    if request.reply_to:
        properties.ResponseTopic = request.reply_to
    return properties


def _send_small_packets_at_once(_client: paho.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _serve(client: paho.Client) -> MQTTErrorCode:
    """Run the client's loop until the connection ends."""
    # Not loop_forever(): only loop() makes the socket pair by which publish() wakes the loop.
    code = MQTTErrorCode.MQTT_ERR_SUCCESS
    while code == MQTTErrorCode.MQTT_ERR_SUCCESS:
        code = client.loop()
    return code


def _leave_writing_to_the_loop(_client: paho.Client, _data: Any, _sock: Any) -> None:
    # Without this callback publish() writes to the socket in its caller's thread while the loop
    # writes too: on a slow link the two interleave their packets and the broker hangs up.
    pass
