"""A device's configuration: what must be said, what has a default, and every error at once."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hiertk_edge import config as config_module
from hiertk_edge.config import PROGRAM, EdgeConfig, load_config
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.configuration import keys_of
from hiertk_protocol.host.installation import shipped

NEEDED = 'bundle = "/srv/bundle"\ndevice = "pi-1"\n[broker]\nurl = "mqtts://broker.local"\n'
DATA = 'data = "folder:/srv/images"\n'


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = replace(PROGRAM, default_file=tmp_path / "default.toml")
    monkeypatch.setattr(config_module, "PROGRAM", here)
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pi-1.toml"
    path.write_text(DATA + NEEDED)
    return path


def problems(file: Path, text: str, overrides: dict[str, Any] | None = None) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    return str(caught.value).splitlines()


def test_what_need_not_be_said_has_a_default(file: Path) -> None:
    config = load_config(file)
    assert config.state == Path("hiertk-edge-pi-1")
    assert (config.training.epochs, config.training.batch_size) == (1, None)
    assert (config.checkpoint.every_steps, config.checkpoint.every_s) == (200, 300)
    assert (config.spool.max_mib, config.spool.when_full) == (256, "drop-oldest")
    assert config.uplink.bits == "auto"
    assert config.endpoint.address is None
    assert not config.goes_on


def test_the_unit_says_where_the_state_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/hiertk-edge/pi-1")
    assert load_config(file).state == Path("/var/lib/hiertk-edge/pi-1")
    assert load_config(file, {"state": Path("here")}).state == Path("here")


def test_a_name_by_option_names_the_state_as_well(file: Path) -> None:
    assert load_config(file, {"device": "pi-2"}).state == Path("hiertk-edge-pi-2")


def test_the_command_line_is_above_the_environment_and_that_above_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(DATA + NEEDED + "[training]\nepochs = 2\nseed = 2\nthreads = 2\n")
    monkeypatch.setenv("HIERTK_EDGE_TRAINING__SEED", "3")
    monkeypatch.setenv("HIERTK_EDGE_TRAINING__THREADS", "3")
    monkeypatch.setenv("HIERTK_EDGE_UPLINK__BITS", "4")
    monkeypatch.setenv("HIERTK_EDGE_STREAMS", '["watch:/srv/new"]')
    config = load_config(file, {"training": {"threads": 4}})
    assert (config.training.epochs, config.training.seed, config.training.threads) == (2, 3, 4)
    assert config.uplink.bits == 4
    assert config.streams == ("watch:/srv/new",)


def test_a_configuration_that_a_program_makes_is_no_matter_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HIERTK_EDGE_DATA", "folder:elsewhere")
    made = EdgeConfig.model_validate(
        {
            "bundle": "bundle",
            "device": "pi-1",
            "data": "folder:here",
            "broker": {"url": "mqtt://localhost"},
        }
    )
    assert made.data == "folder:here"


def test_no_file_is_needed_where_the_options_say_enough() -> None:
    options = {
        "bundle": Path("bundle"),
        "device": "pi-1",
        "endpoint": {"listen": "127.0.0.1:8421"},
        "broker": {"url": "mqtt://localhost"},
    }
    config = load_config(None, options)
    assert config.goes_on
    assert config.endpoint.address == ("127.0.0.1", 8421)
    assert config.endpoint_token_file == Path("hiertk-edge-pi-1/endpoint-token")


def test_every_problem_is_told_at_once_with_the_place_it_came_from(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIERTK_EDGE_TRAINING__THREADS", "many")
    monkeypatch.setenv("HIERTK_CA", "of an earlier version")  # not ours any more
    text = (
        'device = "Pi 1"\nheld_out = "images"\n[broker]\n[training]\nepoch = 3\n'
        '[uplink]\nbits = 5\n[rehearsal]\nshare = 1.0\n[spool]\nwhen_full = "stop"\n'
    )
    head, *lines = problems(file, text, {"care": {"nice": 20}})
    assert head == f"{len(lines)} problems in the configuration:"
    told = "\n".join(lines)
    for wanted in (
        f"bundle is not set: write bundle = ... in {file}, or set HIERTK_EDGE_BUNDLE",
        f"broker.url is not set: write url = ... under [broker] in {file}",
        f"{file}: device: device name 'Pi 1' is not usable",
        f"{file}: endpoint: no images: set data, streams or endpoint.listen",
        f"{file}: held_out: should be folder:PATH or csv:PATH",
        f"{file}: training.epoch: is not known; is training.epochs meant?",
        f"{file}: uplink.bits: should be 'auto', 8 or 4",
        f"{file}: rehearsal.share: should be less than 1",
        f"{file}: spool.when_full: should be 'drop-oldest', 'drop-newest', 'thin-out' or",
        "HIERTK_EDGE_TRAINING__THREADS: should be a valid integer",
        "command line: care.nice: should be less than or equal to 19",
    ):
        assert wanted in told
    assert len(lines) == 11, told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[endpoint]\nlisten = '0.0.0.0:80'", "0.0.0.0 can be reached from other machines"),
        ("[endpoint]\nlisten = '8421'", "endpoint.listen: should be"),
        ("[prediction]\nask_cloud_below = 1.5", "prediction.ask_cloud_below: should be less"),
        ("[training]\nbatch_size = 1", "training.batch_size: should be greater"),
        ("[training]\nlearning_rate = nan", "training.learning_rate: should be a finite"),
        ("password = 'x'", "broker.password: a secret cannot stand here"),
        ("[broker.x]", "broker.x: is not known"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(file: Path, text: str, told: str) -> None:
    (line,) = problems(file, DATA + NEEDED + text)
    assert told in line


def test_a_password_in_a_cameras_address_is_not_repeated(file: Path) -> None:
    (line,) = problems(file, 'streams = ["cam:rtsp://me:hunter2@there"]\n' + NEEDED)
    assert "streams: should be watch:PATH or camera:" in line
    assert "hunter2" not in line


def test_a_device_finds_its_files_in_the_folder_called_as_its_configuration(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file.write_text(DATA + NEEDED + 'ca = "ca.pem"\n[signing]\npublic_key = "/etc/bundle.pub"\n')
    assert load_config(file).broker.ca == tmp_path / "pi-1" / "ca.pem"
    loaded = tmp_path / "loaded"
    loaded.mkdir()
    (loaded / "hiertk_ca.pem").touch()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(loaded))
    config = load_config(file)
    assert config.broker.ca == loaded / "hiertk_ca.pem"
    assert config.signing.public_key == Path("/etc/bundle.pub")


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hiertk-edge install makes one"):
        load_config(tmp_path / "none.toml")


def test_the_shipped_configuration_has_every_key_with_its_default(tmp_path: Path) -> None:
    file = tmp_path / "pi-1.toml"
    text = shipped("hiertk_edge", "device.toml")
    file.write_text(text)
    as_shipped = load_config(file)
    told = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    for key in keys_of(EdgeConfig):
        assert len(re.findall(rf"^{key[-1]} = ", told, re.MULTILINE)) >= 1, key
    examples = (
        r"^(held_out|streams|ca|certificate|key|username|\w+_file|batch_size|learning_rate"
        r"|drain_timeout_s|public_key) = .*\n"
    )
    file.write_text(re.sub(examples, "", told, flags=re.MULTILINE))
    assert load_config(file) == as_shipped
