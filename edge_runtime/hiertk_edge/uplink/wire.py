"""Everything that is published goes through here: counted as it goes over the wire.

Counted are whole PUBLISH packets of MQTT 5: header, topic, properties and payload; not what TLS,
TCP and IP add, nor the few bytes of pings, acknowledgements and a new connection.
"""

import threading
import time

import paho.mqtt.client as paho
from hiertk_protocol.mqtt import MqttLink, Request

from hiertk_edge.spool import Spool
from hiertk_edge.uplink.limits import UplinkLimits
from hiertk_edge.uplink.pace import Pace

_HOUR_S = 3600
_FLUSH_EVERY_S = 300.0


class Wire:
    """The link, its pace and its books; any thread may publish."""

    def __init__(self, link: MqttLink, spool: Spool, limits: UplinkLimits) -> None:
        self._link = link
        self._spool = spool
        self._lock = threading.Lock()
        self._pace = Pace(
            bytes_per_s=limits.bytes_per_s,
            bytes_per_day=limits.bytes_per_day,
            hours=spool.wire_hours(),
        )
        self._flush_due = time.monotonic() + _FLUSH_EVERY_S

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, request: Request | None = None
    ) -> paho.MQTTMessageInfo | None:
        """Hand a message over, and count it; None if the link does not take it."""
        info = self._link.publish(topic, payload, retain=retain, request=request)
        if info is None or info.rc != paho.MQTT_ERR_SUCCESS:
            return None
        self.count(packet_bytes(topic, len(payload), request))
        return info

    def count(self, size: int) -> None:
        """Count a packet that was published."""
        clock = self._spool.now()
        with self._lock:
            of_hour = self._pace.spend(size, now=time.monotonic(), clock=clock)
            self._spool.note_wire(clock // _HOUR_S, of_hour)

    def wait_s(self) -> float:
        """Return how long the rate makes the next message wait."""
        with self._lock:
            return self._pace.wait_s(time.monotonic())

    def fits_the_day(self, size: int) -> bool:
        """Return whether the daily budget has room for so many bytes."""
        with self._lock:
            return self._pace.fits_the_day(size, self._spool.now())

    def spent(self) -> int:
        """Return the bytes of the newest 24 hours."""
        with self._lock:
            return self._pace.spent(self._spool.now())

    def left(self) -> int:
        """Return what is left of the daily budget; 0 also where there is none."""
        with self._lock:
            return self._pace.left(self._spool.now())

    def share_of_the_day(self) -> float:
        """Return what a day like the newest hour takes of the daily budget."""
        with self._lock:
            return self._pace.share_of_the_day(self._spool.now())

    def flush_if_due(self) -> None:
        """Write the books now and then, where no message's put or ack does it."""
        now = time.monotonic()
        if now >= self._flush_due:
            self._flush_due = now + _FLUSH_EVERY_S
            self._spool.flush()


def packet_bytes(topic: str, payload: int, request: Request | None = None) -> int:
    """Return the bytes of a PUBLISH packet at QoS 1. payload: its bytes."""
    properties = 0
    if request is not None:
        properties = 3 + len(request.correlation) + 5
        properties += 3 + len(request.reply_to) if request.reply_to else 0
    remaining = 2 + len(topic) + 2 + _length_bytes(properties) + properties + payload
    return 1 + _length_bytes(remaining) + remaining


def largest_payload(topic: str, packet: int) -> int:
    """Return the payload bytes that fit a packet of so many."""
    return packet - packet_bytes(topic, 0) - 3  # the length itself takes up to 4 bytes


def _length_bytes(value: int) -> int:
    """Return how many bytes MQTT writes a length in: seven bits each."""
    return max(1, -(-value.bit_length() // 7))
