"""Whether the broker takes the service's connection."""

import secrets
import threading

from hiertk_protocol.errors import TransportError
from hiertk_protocol.mqtt import Handlers, MqttLink, Will
from hiertk_protocol.topics import Topics

from hiertk_cloud.config import BrokerConfig

TIMEOUT_S = 5.0
_NOBODY = Topics("check")  # no deployment is called so: theirs are made of hexadecimal digits


def reach_broker(broker: BrokerConfig) -> str:
    """Connect as the service does, but with an id of its own, and hang up.

    Raises ConfigError or TransportError.
    """
    reasons: list[str] = []
    outcome = threading.Event()

    def on_down(reason: str) -> None:
        reasons.append(reason)
        outcome.set()

    link = MqttLink(
        broker.address,
        client_id=f"hiertk-check-{secrets.token_hex(4)}",
        subscriptions=(_NOBODY.features("+"),),
        will=Will(_NOBODY.model, b""),
        handlers=Handlers(lambda _incoming: None, outcome.set, on_down),
        max_message_bytes=1024,
        credentials=broker.credentials(),
    )
    link.start()
    is_decided = outcome.wait(TIMEOUT_S)
    link.stop()
    if not is_decided:
        raise TransportError(f"{broker.address} does not answer within {TIMEOUT_S:g} s: is it up?")
    if reasons:
        raise TransportError(reasons[0])
    return f"{broker.address} takes the connection"
