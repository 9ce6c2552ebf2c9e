"""Names that a certificate may carry. Pure."""

import ipaddress
import re
from collections.abc import Sequence

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.topics import check_device_name

SERVICE = "hiertk-cloud"
_DEPLOYMENT = re.compile(r"[0-9a-f]{16}")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_new_device(name: str, broker_hosts: Sequence[str]) -> str:
    """Return the name if a device may be called so. Raises ConfigError.

    The service's name, whatever begins with it (its client identifiers do) and the broker's names
    are refused: the broker knows a client by nothing but its name.
    """
    check_device_name(name)
    if name.startswith(SERVICE) or name in {host.lower() for host in broker_hosts}:
        raise ConfigError(f"{name!r} is the name of the service or the broker: choose another")
    return name


def check_deployment(name: str) -> str:
    """Return the name if it is one of a deployment. Raises ConfigError."""
    if not _DEPLOYMENT.fullmatch(name):
        raise ConfigError(
            f"--deployment {name[:80]!r}: want the 16 hex digits that `hiertk inspect` shows, "
            "or --bundle"
        )
    return name


def check_broker_host(name: str) -> str:
    """Return the name if a broker can be reached by it. Raises ConfigError."""
    if as_address(name) is None and (len(name) > 253 or not _HOST.fullmatch(name)):
        raise ConfigError(
            f"--broker-host {name[:80]!r}: want a host name or an IP address, without port"
        )
    return name


def as_address(host: str) -> IPAddress | None:
    """Return the IP address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
