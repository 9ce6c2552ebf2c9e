"""Where a broker listens, as the user writes it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from hiertk_protocol.errors import ConfigError

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class BrokerAddress:
    """Where the broker listens."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_broker(url: str) -> BrokerAddress:
    """Parse `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]` (TLS). Raises ConfigError."""
    wanted = "write mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"broker {url!r}: {error}: {wanted}") from error
    beyond = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in _PORTS or not parts.hostname or beyond or port == 0:
        raise ConfigError(f"broker {url!r} is not an MQTT address: {wanted}")
    if parts.username or parts.password:
        raise ConfigError("broker: a password in the address would be seen by every user: leave it")
    return BrokerAddress(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts")
