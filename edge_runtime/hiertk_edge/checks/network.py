"""The way to the broker: its name, and its port."""

import socket

from hiertk_protocol.errors import TransportError
from hiertk_protocol.host.sections import BrokerConfig

_TIMEOUT_S = 5.0


def look_at_way(broker: BrokerConfig) -> str:
    """Resolve the broker's name and open a connection. Raises TransportError."""
    host, port = broker.address.host, broker.address.port
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransportError(
            f"{host}: {error.strerror}: is the name right, and this machine in the network?"
        ) from error
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_S):
            return f"{addresses[0][4][0]} port {port} answers"
    except OSError as error:
        reason = error.strerror or f"no answer within {_TIMEOUT_S:g} s"
        raise TransportError(
            f"{host} port {port}: {reason}: is the broker up, and a firewall open?"
        ) from error
