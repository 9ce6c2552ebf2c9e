"""The pairing code: one text, small enough for a QR code, that tells a phone how to connect.

`hiertk:1:` and a JSON object of the fields below, without spaces. A reader passes over keys that it
does not know, so that some can be added; what it must understand gets another number. The CA is
there as a whole and not as a fingerprint: the phone then leaves the checks to its system.

The code holds a password: it is for one device, and whoever reads it can send as that device.
"""

import base64
import json
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.toml_file import first_problem
from hiertk_protocol.topics import is_device_name

MAX_TEXT_BYTES = 2953  # of a QR code; the limits below keep within it
MAX_CA_BYTES = 1536
_PREFIX = "hiertk:"
_VERSION = "1"
_BROKER = re.compile(
    r"mqtts://(\[(?P<address>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9.-]{1,253}))"
    r":(?P<port>[1-9][0-9]{0,4})"
)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_ANOTHER = "show a new code with `hiertk-cloud pair`"


class Pairing(BaseModel):
    """What a pairing code says.

    broker: `mqtts://HOST:PORT`. device: its name, and its user name at the broker. ca: the
    deployment's CA as DER in base64url without padding.
    """

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    broker: str = Field(max_length=300)
    device: str = Field(max_length=63)
    deployment: str = Field(pattern=r"^[0-9a-f]{16}\z")
    password: str = Field(pattern=r"^[!-~]{1,128}\z", repr=False)
    ca: str = Field(max_length=(MAX_CA_BYTES * 4 + 2) // 3)

    @field_validator("broker")
    @classmethod
    def _check_broker(cls, url: str) -> str:
        found = _BROKER.fullmatch(url)
        if found is None or int(found["port"]) > 65535:
            raise ValueError("should be mqtts://HOST:PORT")
        return url

    @field_validator("device")
    @classmethod
    def _check_device(cls, name: str) -> str:
        if not is_device_name(name):
            raise ValueError("is no device name")
        return name

    @field_validator("ca")
    @classmethod
    def _check_ca(cls, text: str) -> str:
        if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
            raise ValueError("should be base64url without padding")
        return text

    @property
    def host(self) -> str:
        """Name or address of the broker, an IPv6 address without brackets."""
        found = _BROKER.fullmatch(self.broker)
        assert found is not None
        return found["address"] or found["name"]

    @property
    def port(self) -> int:
        return int(self.broker.rpartition(":")[2])

    @property
    def ca_der(self) -> bytes:
        return base64.urlsafe_b64decode(self.ca + "=" * (-len(self.ca) % 4))

    def to_text(self) -> str:
        """Return the code, of ASCII."""
        return f"{_PREFIX}{_VERSION}:{json.dumps(self.model_dump(), separators=(',', ':'))}"


def encode_ca(der: bytes) -> str:
    """Return a certificate as a pairing code carries it."""
    return base64.urlsafe_b64encode(der).decode().rstrip("=")


def parse_pairing(text: str) -> Pairing:
    """Read a code, scanned or typed. Raises ProtocolError, which never repeats what it says."""
    text = text.strip()
    version, colon, content = text.removeprefix(_PREFIX).partition(":")
    if not text.startswith(_PREFIX) or not colon:
        raise ProtocolError("this is no pairing code of HierTK: it would begin with 'hiertk:1:'")
    if version != _VERSION:
        raise ProtocolError(f"the pairing code is of version {version[:9]!r}: update this program")
    if len(text) > MAX_TEXT_BYTES or not text.isascii():
        raise ProtocolError(f"the pairing code is too long, or not ASCII: {_ANOTHER}")
    try:
        return Pairing.model_validate(json.loads(content, object_pairs_hook=_without_twins))
    except ValidationError as error:
        raise ProtocolError(f"the pairing code: {first_problem(error)}: {_ANOTHER}") from None
    except (ValueError, RecursionError):
        raise ProtocolError(f"the pairing code is damaged: {_ANOTHER}") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found
