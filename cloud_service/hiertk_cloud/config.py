"""The service's configuration: a file of TOML, above it the environment, above both the options.

Each value is checked, and every error is reported at once with the place it came from. No secret
is part of it: the configuration names the files that hold them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.config_sources import Program
from hiertk_protocol.host.configuration import load
from hiertk_protocol.host.secret_files import read_secret
from hiertk_protocol.host.sections import (
    BrokerConfig,
    FilePath,
    Finite,
    ListenConfig,
    Section,
    SigningConfig,
    is_loopback,
)
from pydantic import Field, field_validator, model_validator

__all__ = ["PROGRAM", "CloudConfig", "is_loopback", "load_config"]

PROGRAM = Program(
    name="hiertk-cloud",
    env_prefix="HIERTK_CLOUD_",
    default_file=Path("/etc/hiertk/cloud.toml"),
    credentials=(
        ("broker", "ca"),
        ("broker", "certificate"),
        ("broker", "key"),
        ("broker", "password_file"),
        ("api", "token_file"),
        ("signing", "public_key"),
    ),
    folder="credentials",
)
USABLE_TOKEN = re.compile(r"[!-~]{16,4096}")  # what fits into a header, and cannot be guessed
_FACTORY = re.compile(r"[\w.]+:[\w.]+")


class TrainerConfig(Section):
    """How the cloud partition is trained.

    precision: of training steps; with "bfloat16" convolutions and matrix products are done in it.
    replay: in batches, how many earlier samples join each new batch. replay_window: the newest
    training batches that they are drawn from, and that retention keeps. replay_balance: as many
    samples of each class, or whole batches as they came. logit_adjustment: how far the loss makes
    up for classes that were rare of late; 0: not. imprint: new classes begin with rows made from
    their first samples.
    schedule: with "stream" the trainer waits when there is nothing new; with "replay" it goes over
    the replay_window meanwhile, until it has trained on each batch `passes` times.
    stale_after: edge steps behind its device's newest beyond which a batch is left out; 0: never.
    """

    learning_rate: Finite = Field(default=1e-3, ge=1e-8, le=1.0)
    precision: Literal["float32", "bfloat16"] = "float32"
    replay: int = Field(default=1, ge=0, le=64)
    replay_window: int = Field(default=4096, ge=1)
    replay_balance: Literal["class", "none"] = "class"
    logit_adjustment: Finite = Field(default=1.0, ge=0, le=4)
    imprint: bool = True
    schedule: Literal["stream", "replay"] = "stream"
    passes: int = Field(default=10, ge=2, le=10_000)
    checkpoint_every: int = Field(default=200, ge=1)
    stale_after: int = Field(default=10_000, ge=0)
    threads: int = Field(default=1, ge=1, le=1024)
    seed: int = Field(default=0, ge=0, lt=1 << 23)


class LimitsConfig(Section):
    """What one device may send. log_share: of [log] max_gib, where that is set."""

    message_kib: int = Field(default=120, ge=4, le=1024)
    messages_per_s: Finite = Field(default=200.0, gt=0)
    bytes_per_s: Finite = Field(default=16_777_216.0, gt=0)
    log_share: Finite = Field(default=0.5, gt=0, le=1)


class LogConfig(Section):
    """How much the log keeps; 0: no limit. reserve_mib: free disk below which no ack is sent."""

    max_gib: Finite = Field(default=0.0, ge=0)
    max_days: Finite = Field(default=0.0, ge=0)
    reserve_mib: int = Field(default=512, ge=0)


class ApiConfig(ListenConfig):
    """Where the HTTP API and the dashboard listen."""

    listen: str = "127.0.0.1:8420"

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

    @model_validator(mode="after")
    def _check_reach(self) -> "ApiConfig":
        if (
            self.address is not None
            and self.token_file is None
            and not is_loopback(self.address[0])
        ):
            raise ValueError(
                f"token_file should be set: {self.address[0]} can be reached from other machines"
            )
        return self


class CloudConfig(Section):
    """Everything that `hiertk-cloud serve` is told. bundle: a folder, or a zip of one.

    json_lines: write each line as JSON. factory: `package.module:factory` of a network of one's
    own, which is run.
    """

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
    return load(CloudConfig, PROGRAM, path, overrides or {})
