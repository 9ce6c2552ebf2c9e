"""Whether the broker takes a connection with what the configuration shows it."""

import secrets
import threading
from collections.abc import Iterator

from hiertk_protocol.errors import TransportError
from hiertk_protocol.host.checks import Check, attempt
from hiertk_protocol.host.config_checks import check_secret
from hiertk_protocol.host.file_checks import look_at_certificates, look_at_pair
from hiertk_protocol.host.secret_files import read_secret
from hiertk_protocol.host.sections import BrokerConfig
from hiertk_protocol.mqtt import Handlers, MqttLink, Will
from hiertk_protocol.topics import Topics

TIMEOUT_S = 5.0
_NOBODY = Topics("check")  # no deployment is called so: theirs are made of hexadecimal digits


def check_broker(broker: BrokerConfig, subscription: str, *, offline: bool) -> Iterator[Check]:
    """Look at all that is shown to the broker, and unless `offline` or that is wrong at the broker.

    subscription: a topic that this side may read.
    """
    checks = list(_shown_to(broker))
    yield from checks
    if not offline and all(check.ok for check in checks):
        yield attempt("broker", lambda: reach_broker(broker, subscription))


def nobodys_topic() -> str:
    """Return a topic of no deployment."""
    return _NOBODY.features("+")


def reach_broker(broker: BrokerConfig, subscription: str) -> str:
    """Connect and subscribe with an id of its own, and hang up.

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
        subscriptions=(subscription,),
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


def _shown_to(broker: BrokerConfig) -> Iterator[Check]:
    if broker.password_file is not None:
        path = broker.password_file
        yield check_secret("broker password", path, lambda: read_secret(path))
    if broker.ca is not None:
        ca = broker.ca
        yield attempt("broker CA", lambda: look_at_certificates(ca))
    if broker.certificate is not None and broker.key is not None:
        certificate, key = broker.certificate, broker.key
        yield attempt("certificate", lambda: look_at_pair(certificate, key))
