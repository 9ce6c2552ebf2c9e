"""The broker's settings, access list and passwords as Mosquitto reads them. Pure.

Three listeners: a device with a certificate, a device with a password, the service. A client's
name comes from its certificate or password, never from what it says of itself.
"""

import base64
import hashlib
import secrets
from pathlib import Path

from hiertk_cloud.provisioning.names import SERVICE
from hiertk_cloud.provisioning.registry import Device, Registry

SETTINGS = "mosquitto.conf"
AUTHORITY = "ca.pem"
CERTIFICATE = "broker.pem"
KEY = "broker.key"
SERVICE_CERTIFICATE = "service.pem"
REVOKED = "crl.pem"
ACCESS = "acl"
PASSWORDS = "passwords"

# Not `up/#`: a device could fill the broker's memory with retained messages on made-up topics.
_WRITTEN_BY_DEVICES = ("features", "status", "predict", "classes")
# The longest message that the service can be told to take, and its topic and properties. Also the
# class map of 4096 long names must pass: who sends a longer packet is disconnected.
_PACKET_BYTES = (1 << 20) + 8192
# The passwords are 192 random bits: slow hashing protects weak ones, and would stall the broker.
_ITERATIONS = 1000
_SALT_BYTES = 12


def settings(folder: Path, port: int, *, with_passwords: bool) -> str:
    """Return mosquitto.conf for the files in a folder; three ports from `port` on are used."""
    listeners = [_for_certificates(folder, port)]
    if with_passwords:
        listeners.append(_for_passwords(folder, port + 1))
    listeners.append(_for_the_service(folder, port + 2))
    return f"""\
# Written by `hiertk-cloud provision`, and written again at each call: change nothing here.
# {port}: devices with a certificate. {port + 1}: devices with a password. {port + 2}: the service.
per_listener_settings true

# Devices keep what was not acknowledged in their spool and the service has a durable log, so the
# broker need not remember anything. Its own file would not be safe either: killed, Mosquitto loses
# what came since the last autosave.
persistence false

set_tcp_nodelay true
max_packet_size {_PACKET_BYTES}
max_inflight_messages 100
# A full queue drops silently after its PUBACK; devices send again what is not acknowledged.
max_queued_messages 10000
max_queued_bytes {256 << 20}
log_dest stderr
log_type error
log_type warning
log_type notice

{"".join(listeners)}"""


def _for_certificates(folder: Path, port: int) -> str:
    return f"""\
listener {port}
{_encrypted(folder)}
cafile {folder / AUTHORITY}
crlfile {folder / REVOKED}
require_certificate true
use_identity_as_username true
# Else a client that calls itself by another's identifier would end the other's connection.
use_username_as_clientid true

"""


def _for_passwords(folder: Path, port: int) -> str:
    return f"""\
listener {port}
{_encrypted(folder)}
password_file {folder / PASSWORDS}
use_username_as_clientid true

"""


def _for_the_service(folder: Path, port: int) -> str:
    return f"""\
listener {port}
{_encrypted(folder)}
# The service's certificate is signed by itself, so this listener lets in nobody else. It may hold
# several connections at once: one for each deployment and process.
cafile {folder / SERVICE_CERTIFICATE}
require_certificate true
use_identity_as_username true
"""


def _encrypted(folder: Path) -> str:
    return f"""\
tls_version tlsv1.2
certfile {folder / CERTIFICATE}
keyfile {folder / KEY}
allow_anonymous false
acl_file {folder / ACCESS}"""


def access_list(registry: Registry) -> str:
    """Return the access list: what is not allowed here is forbidden.

    Each device has lines of its own and not one pattern for all, so that one can be held to its
    deployment, and a revoked one has no line: that cuts off even a connection that still stands.
    """
    service = [
        f"user {SERVICE}",
        "topic read hiertk/v1/+/+/up/#",
        "topic write hiertk/v1/+/+/down/#",
        "topic write hiertk/v1/+/down/#",
    ]
    blocks = [service, *(_access(name, device) for name, device in registry.admitted())]
    head = "# Written by `hiertk-cloud provision`, and written again at each call.\n"
    return head + "\n".join("\n".join(block) + "\n" for block in blocks)


def _access(name: str, device: Device) -> list[str]:
    root = f"hiertk/v1/{device.deployment or '+'}"
    return [
        f"user {name}",
        *(f"topic write {root}/{name}/up/{what}" for what in _WRITTEN_BY_DEVICES),
        f"topic read {root}/{name}/down/#",
        f"topic read {root}/down/#",
    ]


def password_lines(registry: Registry) -> str:
    """Return the password file; empty if no device has one."""
    lines = [
        f"{name}:{device.password}\n" for name, device in registry.admitted() if device.password
    ]
    return "".join(lines)


def hash_password(password: str, salt: bytes | None = None) -> str:
    """Return a password as Mosquitto stores it: `$7$`, PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${_base64(salt)}${_base64(digest)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
