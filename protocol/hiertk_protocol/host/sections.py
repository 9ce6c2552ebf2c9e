"""What the configurations of a device and of the service share: kinds of values, and tables."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.secret_files import read_secret
from hiertk_protocol.mqtt import BrokerAddress, parse_broker

_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>\d{1,5})")


def _not_empty(value: object) -> object:
    if value in ("", "."):
        raise ValueError("should name a file or folder")
    return value


FilePath = Annotated[Path, BeforeValidator(_not_empty)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """A table of a configuration, or the whole of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerConfig(Section):
    """Where the broker listens, and who this side is to it."""

    url: str
    ca: FilePath | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None
    username: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    password_file: FilePath | None = None

    @property
    def address(self) -> BrokerAddress:
        """The address that `url` names."""
        return parse_broker(self.url)

    def credentials(self) -> Credentials:
        """Read the password, and name the files. Raises ConfigError."""
        return Credentials(
            ca=self.ca,
            certificate=self.certificate,
            key=self.key,
            username=self.username,
            password=None if self.password_file is None else read_secret(self.password_file),
        )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if "@" in url:  # before anything that would repeat a password
            raise ValueError("should be without user and password: username and password_file")
        try:
            parse_broker(url)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return url

    @model_validator(mode="after")
    def _check_together(self) -> "BrokerConfig":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key should be set together")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file should be set together")
        if not self.address.tls and (self.ca or self.certificate or self.username):
            raise ValueError("certificates and passwords need TLS: url should begin with mqtts://")
        return self


class SigningConfig(Section):
    """Who may make bundles. public_key: Ed25519; with one, an unsigned bundle is refused."""

    public_key: FilePath | None = None


class ListenConfig(Section):
    """Where HTTP is served. An empty `listen` turns it off."""

    listen: str = ""
    token_file: FilePath | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port; None: off."""
        found = _LISTEN.fullmatch(self.listen)
        return (found["v6"] or found["host"], int(found["port"])) if found else None

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, listen: str) -> str:
        found = _LISTEN.fullmatch(listen)
        if listen and (found is None or not int(found["port"]) < 1 << 16):
            raise ValueError(
                'should be "HOST:PORT" (port 0: any free one), "[IPV6]:PORT" or "" (off)'
            )
        return listen


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
