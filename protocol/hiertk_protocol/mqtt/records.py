"""What goes over a connection to the broker, and what its owner does about it."""

from collections.abc import Callable
from dataclasses import dataclass

MAX_PACKET_BYTES = 268_435_460  # MQTT's own bound


@dataclass(frozen=True)
class Will:
    """The retained message that the broker publishes if the connection breaks."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class Incoming:
    """A message that came. correlation: what a request and its reply have in common, if any."""

    topic: str
    payload: bytes
    correlation: bytes = b""


@dataclass(frozen=True)
class Request:
    """What makes a message a request, or a reply to one.

    correlation: comes back with the reply. reply_to: the topic that the reply is for; empty in a
    reply. expires_s: seconds after which nobody wants it any more.
    """

    correlation: bytes
    reply_to: str = ""
    expires_s: int = 60


@dataclass(frozen=True)
class BrokerLimits:
    """What the broker of this connection takes, as it said when it was connected.

    packet_bytes: the largest packet. unacknowledged: messages that may wait for its PUBACK.
    """

    packet_bytes: int = MAX_PACKET_BYTES
    unacknowledged: int = 65_535


@dataclass(frozen=True)
class Handlers:
    """What the owner does about the connection; all are called in the link's thread."""

    message: Callable[[Incoming], None]
    up: Callable[[], None]
    down: Callable[[str], None]  # with the reason, once per outage, and when the broker refuses
