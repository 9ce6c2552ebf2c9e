"""The service's configuration: a file of TOML, above it the environment, above both the options.

Each value is checked, and every error is reported at once with the place it came from. No secret
is part of it: the configuration names the files that hold them.
"""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.config_sources import DEFAULT_FILE, problems_of, read_sources
from hiertk_protocol.host.secret_files import read_secret
from hiertk_protocol.mqtt import BrokerAddress, parse_broker
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["DEFAULT_FILE", "CloudConfig", "load_config"]

USABLE_TOKEN = re.compile(r"[!-~]{16,4096}")  # what fits into a header, and cannot be guessed
_FACTORY = re.compile(r"[\w.]+:[\w.]+")
_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>\d{1,5})")


def _not_empty(value: object) -> object:
    if value in ("", "."):
        raise ValueError("should name a file or folder")
    return value


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


FilePath = Annotated[Path, BeforeValidator(_not_empty)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerConfig(_Section):
    """Where the broker listens, and who the service is to it."""

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


class TrainerConfig(_Section):
    """How the cloud partition is trained.

    replay_window: the newest training batches that replay draws from, and that retention keeps.
    stale_after: edge steps behind its device's newest beyond which a batch is left out; 0: never.
    """

    learning_rate: Finite = Field(default=1e-3, ge=1e-8, le=1.0)
    replay: int = Field(default=1, ge=0, le=64)
    replay_window: int = Field(default=4096, ge=1)
    checkpoint_every: int = Field(default=200, ge=1)
    stale_after: int = Field(default=10_000, ge=0)
    threads: int = Field(default=1, ge=1, le=1024)
    seed: int = Field(default=0, ge=0, lt=1 << 23)


class LimitsConfig(_Section):
    """What one device may send. log_share: of [log] max_gib, where that is set."""

    message_kib: int = Field(default=120, ge=4, le=1024)
    messages_per_s: Finite = Field(default=200.0, gt=0)
    bytes_per_s: Finite = Field(default=16_777_216.0, gt=0)
    log_share: Finite = Field(default=0.5, gt=0, le=1)


class LogConfig(_Section):
    """How much the log keeps; 0: no limit. reserve_mib: free disk below which no ack is sent."""

    max_gib: Finite = Field(default=0.0, ge=0)
    max_days: Finite = Field(default=0.0, ge=0)
    reserve_mib: int = Field(default=512, ge=0)


class ApiConfig(_Section):
    """Where the HTTP API and the dashboard listen. An empty `listen` turns them off."""

    listen: str = "127.0.0.1:8420"
    token_file: FilePath | None = None

    def token(self) -> str | None:
        """Read the token, if there is one. Raises ConfigError."""
        if self.token_file is None:
            return None
        token = read_secret(self.token_file)
        if not USABLE_TOKEN.fullmatch(token):
            raise ConfigError(
                f"token {self.token_file}: not usable: take at least 16 letters, digits and signs "
                "of ASCII without spaces, drawn at random: openssl rand -hex 32"
            )
        return token

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port; None: off."""
        found = _LISTEN.fullmatch(self.listen)
        return (found["v6"] or found["host"], int(found["port"])) if found else None

    @model_validator(mode="after")
    def _check(self) -> "ApiConfig":
        if not self.listen:
            return self
        if self.address is None or not self.address[1] < 1 << 16:
            raise ValueError(
                'listen should be "HOST:PORT" (port 0: any free one), "[IPV6]:PORT" or "" (off)'
            )
        if self.token_file is None and not is_loopback(self.address[0]):
            raise ValueError(
                f"token_file should be set: {self.address[0]} can be reached from other machines"
            )
        return self


class SigningConfig(_Section):
    """Who may make bundles. public_key: Ed25519; with one, an unsigned bundle is refused."""

    public_key: FilePath | None = None


class CloudConfig(BaseSettings):
    """Everything that `hiertk-cloud serve` is told. bundle: a folder, or a zip of one.

    json_lines: write each line as JSON. factory: `package.module:factory` of a network of one's
    own, which is run.
    """

    model_config = SettingsConfigDict(
        env_prefix="HIERTK_CLOUD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    bundle: FilePath
    state: FilePath
    factory: str | None = None
    json_lines: bool = False
    broker: BrokerConfig
    trainer: TrainerConfig = TrainerConfig()
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()
    api: ApiConfig = ApiConfig()
    signing: SigningConfig = SigningConfig()

    @field_validator("factory")
    @classmethod
    def _check_factory(cls, name: str | None) -> str | None:
        if name is not None and not _FACTORY.fullmatch(name):
            raise ValueError("should be package.module:factory")
        return name


def load_config(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> CloudConfig:
    """Read and check the configuration.

    path: the file; None: /etc/hiertk/cloud.toml, if there is one. overrides: what the command line
    says, nested as the file is. Raises ConfigError, whose text has a line for each problem.
    """
    sources = read_sources(CloudConfig, path, overrides or {})
    problems = problems_of(CloudConfig, sources)
    if problems:
        head = f"{len(problems)} problems in the configuration:\n  " if problems[1:] else ""
        raise ConfigError(head + "\n  ".join(problems))
    return CloudConfig(**sources.merged)
