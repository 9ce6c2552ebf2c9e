"""A paho client without a thread of its own: one selector serves many of them."""

import socket
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho
from hiertk_protocol.errors import TransportError
from hiertk_protocol.mqtt import KEEPALIVE_S, BrokerAddress, Will
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

_KEEPALIVE_S = 6 * KEEPALIVE_S  # many connections: fewer pings
_CONNECT_TIMEOUT_S = 5.0


class Connection:
    """One device's connection. inbox: (topic, payload) of what came, to be emptied by the owner."""

    def __init__(
        self, address: BrokerAddress, client_id: str, subscriptions: Sequence[str], will: Will
    ) -> None:
        """Connect; what follows happens in `serve`. Raises TransportError."""
        self.inbox: list[tuple[str, bytes]] = []
        self.is_ready = False
        self.refusal = ""
        self._subscriptions = subscriptions
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = _CONNECT_TIMEOUT_S
        self._client.max_inflight_messages_set(0)  # the window of the device bounds them
        self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_socket_open = _send_small_packets_at_once
        self._client.on_socket_register_write = _leave_writing_to_the_selector
        if address.tls:
            self._client.tls_set()
        try:
            self._client.connect(address.host, address.port, keepalive=_KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise TransportError(f"{address} cannot be reached: {error}") from error

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        return self._client.socket() is not None and not self.refusal

    @property
    def wants_to_write(self) -> bool:
        """Whether something waits for the socket."""
        return self._client.want_write()

    def fileno(self) -> int:
        """Return the socket's number, for a selector."""
        opened = self._client.socket()
        return -1 if opened is None else int(opened.fileno())

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send at QoS 1, when the selector says that there is room."""
        self._client.publish(topic, payload, qos=1, retain=retain)

    def read(self) -> None:
        """Take what has come."""
        self._client.loop_read()

    def write(self) -> None:
        """Send what waits."""
        self._client.loop_write()

    def keep_alive(self) -> None:
        """Ping if it is time; call it about once a second."""
        if self._client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS and not self.refusal:
            self.refusal = "the connection broke"

    def close(self) -> None:
        """Say goodbye without the last will."""
        self._client.disconnect()
        if self._client.socket() is not None:
            self._client.loop_write()

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if code.is_failure:
            self.refusal = str(code)
            return
        client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self._subscriptions])

    def _on_subscribe(self, *_arguments: Any) -> None:
        self.is_ready = True

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.inbox.append((message.topic, bytes(message.payload)))


def _send_small_packets_at_once(_client: paho.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _leave_writing_to_the_selector(_client: paho.Client, _data: Any, _sock: Any) -> None:
    # Without this callback publish() would write at once, in the middle of another packet.
    pass
