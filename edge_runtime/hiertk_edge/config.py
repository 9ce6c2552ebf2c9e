"""A device's configuration: a file of TOML, above it the environment, above both the options.

Each value is checked, and every error is reported at once with the place it came from. No secret
is part of it: the configuration names the files that hold them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.config_sources import Program
from hiertk_protocol.host.configuration import load
from hiertk_protocol.host.sections import (
    BrokerConfig,
    FilePath,
    Finite,
    ListenConfig,
    Section,
    SigningConfig,
    is_loopback,
)
from hiertk_protocol.topics import check_device_name
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from hiertk_edge.sources.kinds import DATA_SETS, STREAMS, SourceKind

PROGRAM = Program(
    name="hiertk-edge",
    env_prefix="HIERTK_EDGE_",
    default_file=Path("/etc/hiertk/edge.toml"),
    credentials=(
        ("broker", "ca"),
        ("broker", "certificate"),
        ("broker", "key"),
        ("broker", "password_file"),
        ("endpoint", "token_file"),
        ("signing", "public_key"),
    ),
)


def _source(text: str, kinds: Sequence[SourceKind]) -> str:
    kind, _, rest = text.partition(":")
    if not rest or kind not in {one.name for one in kinds}:
        # Without the text: the address of a camera may hold a password.
        raise ValueError("should be " + " or ".join(one.form for one in kinds))
    return text


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class TrainingConfig(Section):
    """How the edge partition is trained.

    epochs: passes over `data`. schedule: "stream" sends the features of each step; "edge-first"
    sends nothing while `data` is trained on, then every image's features, once. batch_size,
    learning_rate: None is the bundle's own. evaluate_every: steps between measurements on held-out
    images; 0: at the end alone. drain_timeout_s: how long to wait for the cloud at the end; None:
    for ever. imprint: a new class's row begins with its first examples, not at random.
    logit_adjustment: of the loss, while classes are rare.
    """

    epochs: int = Field(default=1, ge=1)
    schedule: Literal["stream", "edge-first"] = "stream"
    batch_size: int | None = Field(default=None, ge=2, le=4096)
    learning_rate: Finite | None = Field(default=None, gt=0)
    threads: int = Field(default=1, ge=1, le=1024)
    seed: int = Field(default=0, ge=0)
    evaluate_every: int = Field(default=0, ge=0)
    drain_timeout_s: Finite | None = Field(default=None, ge=0)
    imprint: bool = True
    logit_adjustment: bool = True


class ClassesConfig(Section):
    """What becomes of a name that no class has.

    new: whether a label of a stream or a data set opens a class; the endpoint's POST /classes does,
    whatever is set here.
    """

    new: Literal["refuse", "accept"] = "refuse"


class RehearsalConfig(Section):
    """What is kept of the streams' images.

    max_mib: of the rehearsal memory; 0: nothing is rehearsed. share: of a batch that is rehearsed.
    held_out_share: of the images that never train, but measure and calibrate. max_waiting: images
    that no step has taken yet. wait_s: after which a batch is trained that is not full. practice:
    steps on images seen before that follow a step on a class that the bundle did not have.
    """

    max_mib: Finite = Field(default=16.0, ge=0)
    share: Finite = Field(default=0.5, ge=0, lt=1)
    held_out_share: Finite = Field(default=0.1, ge=0, le=0.5)
    max_waiting: int = Field(default=512, ge=2)
    wait_s: Finite = Field(default=10.0, ge=0)
    practice: int = Field(default=3, ge=0, le=100)


class CheckpointConfig(Section):
    """How often a checkpoint is written: after so many steps, but not before so many seconds."""

    every_steps: int = Field(default=200, ge=1)
    every_s: Finite = Field(default=300.0, ge=0)


class SpoolConfig(Section):
    """How much the spool holds, how old it gets (0: any age), and what gives way in a full one."""

    max_mib: Finite = Field(default=256.0, gt=0)
    max_hours: Finite = Field(default=0.0, ge=0)
    when_full: Literal["drop-oldest", "drop-newest", "thin-out", "fewer-bits"] = "drop-oldest"


class UplinkConfig(Section):
    """What the link may carry. bits: of the features. 0: no limit."""

    bits: Annotated[Literal["auto", 8, 4], BeforeValidator(_number)] = "auto"
    kib_per_s: Finite = Field(default=0.0, ge=0)
    mib_per_day: Finite = Field(default=0.0, ge=0)


class PredictionConfig(Section):
    """When the cloud is asked: below this confidence; and how long for."""

    ask_cloud_below: Finite = Field(default=0.6, ge=0, le=1)
    deadline_s: Finite = Field(default=2.0, gt=0, le=60)


class EndpointConfig(ListenConfig):
    """Where a program of this machine posts images and asks for predictions.

    token_file: made where it is missing; None: `endpoint-token` in the state folder.
    """

    @field_validator("listen")
    @classmethod
    def _check_loopback(cls, listen: str) -> str:
        # Not `address`: that is a property of the whole.
        host = listen.rpartition(":")[0].strip("[]")
        if listen and not is_loopback(host):
            raise ValueError(f"{host} can be reached from other machines: take 127.0.0.1:PORT")
        return listen


class CareConfig(Section):
    """How the device's machine is spared; 0: no limit. Above a limit training pauses."""

    nice: int = Field(default=10, ge=0, le=19)
    max_memory_mib: int = Field(default=0, ge=0)
    max_temperature_c: Finite = Field(default=80.0, ge=0, le=150)


class EdgeConfig(Section):
    """Everything that `hiertk-edge run` is told.

    bundle: a folder, or a zip of one. state: by default $STATE_DIRECTORY, else
    ./hiertk-edge-DEVICE. data, held_out: data sets; streams: images that come when they come.
    json_lines: write each line as JSON.
    """

    bundle: FilePath
    device: str
    state: FilePath
    data: str | None = None
    held_out: str | None = None
    streams: tuple[str, ...] = ()
    json_lines: bool = False
    broker: BrokerConfig
    training: TrainingConfig = TrainingConfig()
    classes: ClassesConfig = ClassesConfig()
    rehearsal: RehearsalConfig = RehearsalConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    spool: SpoolConfig = SpoolConfig()
    uplink: UplinkConfig = UplinkConfig()
    prediction: PredictionConfig = PredictionConfig()
    endpoint: Annotated[EndpointConfig, Field(validate_default=True)] = EndpointConfig()
    care: CareConfig = CareConfig()
    signing: SigningConfig = SigningConfig()

    @property
    def goes_on(self) -> bool:
        """Whether images may come after the data's epochs: then only a signal ends the run."""
        return bool(self.streams or self.endpoint.listen)

    @property
    def endpoint_token_file(self) -> Path:
        """Where the endpoint's token is, or will be."""
        return self.endpoint.token_file or self.state / "endpoint-token"

    @model_validator(mode="before")
    @classmethod
    def _default_state(cls, values: object) -> object:
        if isinstance(values, dict) and "state" not in values:
            return values | {"state": f"hiertk-edge-{values.get('device', 'DEVICE')}"}
        return values

    @field_validator("device")
    @classmethod
    def _check_device(cls, name: str) -> str:
        try:
            return check_device_name(name)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @field_validator("data", "held_out")
    @classmethod
    def _check_data(cls, text: str | None) -> str | None:
        return None if text is None else _source(text, DATA_SETS)

    @field_validator("streams")
    @classmethod
    def _check_streams(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_source(text, STREAMS) for text in texts)

    @field_validator("endpoint")
    @classmethod
    def _check_any_source(cls, endpoint: EndpointConfig, info: ValidationInfo) -> EndpointConfig:
        # Here, not after all fields: then it would only be told once nothing else is wrong.
        others = [info.data[name] for name in ("data", "streams") if name in info.data]
        if len(others) == 2 and not any(others) and not endpoint.listen:
            raise ValueError("no images: set data, streams or endpoint.listen")
        return endpoint


def load_config(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> EdgeConfig:
    """Read and check the configuration.

    path: the file; None: /etc/hiertk/edge.toml, if there is one. overrides: what the command line
    says, nested as the file is. Raises ConfigError, whose text has a line for each problem.
    """
    return load(EdgeConfig, PROGRAM, path, overrides or {})
