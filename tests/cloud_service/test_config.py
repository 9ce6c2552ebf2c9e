"""The configuration: three sources in their order, every error at once and where it came from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hiertk_cloud import config as config_module
from hiertk_cloud.config import PROGRAM, CloudConfig, load_config
from hiertk_protocol.errors import ConfigError

NEEDED = 'bundle = "/srv/bundle"\nstate = "/var/lib/x"\n[broker]\nurl = "mqtts://broker.local"\n'
SECRET = "hunter2-not-to-be-shown"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = replace(PROGRAM, default_file=tmp_path / "default.toml")
    monkeypatch.setattr(config_module, "PROGRAM", here)
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cloud.toml"
    path.write_text(NEEDED)
    return path


def problems(file: Path, text: str = "", overrides: dict[str, Any] | None = None) -> list[str]:
    """Return the lines that the file with the added text gets."""
    file.write_text(file.read_text() + text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides or {})
    return str(caught.value).splitlines()


def only_problem(file: Path, text: str) -> str:
    (line,) = problems(file, text)
    return line


def test_what_need_not_be_said_has_a_safe_default(file: Path) -> None:
    config = load_config(file)
    assert config.broker.address.port == 8883
    assert config.api.address == ("127.0.0.1", 8420)
    assert config.trainer.replay_window >= 1
    assert (config.log.max_gib, config.log.max_days) == (0, 0)
    assert not config.json_lines


def test_the_command_line_is_above_the_environment_and_that_above_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(NEEDED + "[trainer]\nreplay = 2\nseed = 2\nthreads = 2\n")
    monkeypatch.setenv("HIERTK_CLOUD_TRAINER__SEED", "3")
    monkeypatch.setenv("HIERTK_CLOUD_TRAINER__THREADS", "3")
    trainer = load_config(file, {"trainer": {"threads": 4}}).trainer
    assert (trainer.replay, trainer.seed, trainer.threads) == (2, 3, 4)


def test_no_file_is_needed_where_the_other_sources_say_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HIERTK_CLOUD_BROKER__URL", "mqtt://localhost")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/hiertk-cloud:/var/lib/other")
    config = load_config(None, {"bundle": Path("bundle")})
    assert config.state == Path("/var/lib/hiertk-cloud")
    assert config.bundle == Path("bundle")


def test_the_default_file_is_read_if_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text(NEEDED)
    assert load_config().bundle == Path("/srv/bundle")


def test_every_problem_is_told_at_once_with_the_place_it_came_from(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIERTK_CLOUD_TRAINER__THREADS", "many")
    monkeypatch.setenv("HIERTK_CLOUD_BROKER_URL", "mqtt://x")
    file.write_text("[broker]\n[trainer]\nreplay = 65\nlearing_rate = 1e-3\n[logs]\nmax_gib = 1\n")
    head, *lines = problems(file, overrides={"log": {"max_gib": -1.0}})
    assert head == f"{len(lines)} problems in the configuration:"
    told = "\n".join(lines)
    for wanted in (
        f"bundle is not set: write bundle = ... in {file}, or set HIERTK_CLOUD_BUNDLE",
        f"broker.url is not set: write url = ... under [broker] in {file}",
        f"{file}: trainer.replay: should be less than or equal to 64",
        f"{file}: trainer.learing_rate: is not known; is trainer.learning_rate meant?",
        f"{file}: logs: is not known; is log meant?",
        "HIERTK_CLOUD_TRAINER__THREADS: should be a valid integer",
        "HIERTK_CLOUD_BROKER_URL is not known; is HIERTK_CLOUD_BROKER__URL meant?",
        "command line: log.max_gib: should be greater than or equal to 0",
    ):
        assert wanted in told
    assert len(lines) == 9, told  # and state


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('certificate = "c.pem"', "certificate and key should be set together"),
        ('password_file = "p"', "username and password_file should be set together"),
        ('username = ""', "broker.username"),
        ("[api]\nlisten = '0.0.0.0:80'", "token_file should be set: 0.0.0.0 can be reached"),
        ("[api]\nlisten = 'localhost'", "api.listen: should be"),
        ("[api]\nlisten = '[::1]:99999'", "api.listen: should be"),
        ("[limits]\nlog_share = 0", "limits.log_share: should be greater than 0"),
        ("[limits]\nbytes_per_s = inf", "limits.bytes_per_s: should be a finite number"),
        ("[signing]\npublic_key = ''", "signing.public_key: should name a file or folder"),
        ("[[trainer]]\n", "trainer: should be a table: write [trainer]"),
        ('"a\\nb" = 1', "broker.a?b: is not known"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(file: Path, text: str, told: str) -> None:
    assert told in only_problem(file, text)


def test_tls_files_without_tls_are_an_error(file: Path) -> None:
    file.write_text(NEEDED.replace("mqtts", "mqtt"))
    assert "mqtts://" in only_problem(file, 'ca = "ca.pem"')


def test_loopback_needs_no_token_and_the_api_can_be_off(file: Path) -> None:
    for listen, address in (("[::1]:80", ("::1", 80)), ("localhost:80", ("localhost", 80))):
        assert load_config(file, {"api": {"listen": listen}}).api.address == address
    assert load_config(file, {"api": {"listen": ""}}).api.address is None


@pytest.mark.parametrize(
    "text",
    [
        f'password = "{SECRET}"',
        f'[api]\ntoken = "{SECRET}"',
        f'[broker.password]\nvalue = "{SECRET}"',
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(file: Path, text: str) -> None:
    line = only_problem(file, text)
    assert "a secret cannot stand here" in line
    assert SECRET not in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HIERTK_CLOUD_BROKER__PASSWORD", SECRET),
        ("HIERTK_CLOUD_PASSWORD", SECRET),
        ("HIERTK_CLOUD_BROKER", f'{{"password": "{SECRET}"}}'),
    ],
)
def test_a_secret_in_the_environment_is_refused_and_not_repeated(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    line = only_problem(file, "")
    assert line.startswith(f"{name}: a secret cannot stand here")
    assert SECRET not in line


@pytest.mark.parametrize("scheme", ["mqtt", "http", "mqtt://["])
def test_a_password_in_the_address_is_refused_and_not_repeated(file: Path, scheme: str) -> None:
    file.write_text(NEEDED.replace("mqtts://broker", f"{scheme}://me:{SECRET}@broker"))
    line = only_problem(file, "")
    assert "without user and password" in line
    assert SECRET not in line


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a = ", "not TOML"), (b"\xff", "not TOML"), (b"#" * (1 << 21), "more than 1048576 bytes")],
)
def test_a_file_that_is_no_configuration_is_a_line(file: Path, content: bytes, told: str) -> None:
    file.write_bytes(content)
    assert told in str(file_error(file))


def file_error(file: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return caught.value


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    assert "hiertk-cloud install makes one" in str(file_error(tmp_path / "none.toml"))


def test_a_variable_that_is_no_table_is_a_line_without_its_value(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIERTK_CLOUD_BROKER", SECRET)
    error = file_error(file)
    assert "HIERTK_CLOUD_BROKER: should be a table" in str(error)
    assert SECRET not in str(error)
    assert error.__cause__ is None


def test_relative_secrets_lie_beside_the_file_or_where_systemd_has_loaded_them(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file.write_text(NEEDED + 'ca = "/etc/ca.pem"\nusername = "me"\npassword_file = "pw"\n')
    assert load_config(file).broker.password_file == tmp_path / "credentials" / "pw"
    loaded = tmp_path / "loaded"
    loaded.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(loaded))
    assert load_config(file).broker.password_file == loaded / "pw"
    (loaded / "hiertk_pw").write_text(SECRET)
    broker = load_config(file).broker
    assert broker.password_file == loaded / "hiertk_pw"
    assert broker.ca == Path("/etc/ca.pem")


def test_a_configuration_cannot_be_changed(file: Path) -> None:
    config = load_config(file)
    with pytest.raises(ValueError, match="frozen"):
        config.broker = CloudConfig.model_fields["broker"].default  # type: ignore[misc]
