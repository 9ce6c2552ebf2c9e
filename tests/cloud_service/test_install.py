"""Putting the service in place: what is written, what is kept, and what systemd says of it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hiertk_cloud.cli import app
from hiertk_cloud.commands.install import install
from hiertk_cloud.config import load_config
from hiertk_cloud.installation import UNIT
from hiertk_protocol import errors
from hiertk_protocol.host.configuration import keys_of
from hiertk_protocol.host.installation import shipped as shipped_by
from typer.testing import CliRunner

PROGRAM = "/opt/hiertk/bin/hiertk-cloud"
MOST_EXPOSURE = 15  # tenths of the score


def shipped(name: str) -> str:
    return shipped_by("hiertk_cloud", name)


def run_install(root: Path, *arguments: str, program: str = PROGRAM) -> str:
    """Install into a root and return what is printed."""
    alone = typer.Typer()
    alone.command()(install)
    command = ["--root", str(root), "--program", program, *arguments]
    result = CliRunner().invoke(alone, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def deeds(output: str) -> dict[str, str]:
    """Return what was done, by the file's name."""
    return {Path(deed["path"]).name: deed["done"] for deed in json.loads(output)["deeds"]}


def setting(text: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(value)


def test_everything_is_put_in_place_with_rights_that_keep_secrets(tmp_path: Path) -> None:
    output = run_install(tmp_path)
    unit = tmp_path / "etc/systemd/system" / UNIT
    assert setting(unit.read_text(), "ExecStart").startswith(f"{PROGRAM} serve ")
    assert (unit.stat().st_mode & 0o777) == 0o644
    assert (tmp_path / "etc/hiertk/cloud.toml").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "etc/hiertk/credentials").stat().st_mode & 0o777 == 0o700
    assert "systemctl" in output
    assert "hiertk-cloud check" in output


def test_doing_it_again_keeps_the_configuration_and_brings_the_unit_up_to_date(
    tmp_path: Path,
) -> None:
    first = deeds(run_install(tmp_path, "--json"))
    assert first == {UNIT: "written", "cloud.toml": "written", "credentials": "made"}
    (tmp_path / "etc/hiertk/cloud.toml").write_text("# mine\n")
    again = deeds(run_install(tmp_path, "--json"))
    assert again == {UNIT: "unchanged", "cloud.toml": "kept", "credentials": "kept"}
    moved = deeds(run_install(tmp_path, "--json", program="/srv/100% new/bin/hiertk-cloud"))
    assert moved[UNIT] == "replaced"
    assert (tmp_path / "etc/hiertk/cloud.toml").read_text() == "# mine\n"
    unit = (tmp_path / "etc/systemd/system" / UNIT).read_text()
    assert setting(unit, "ExecStart").startswith('"/srv/100%% new/bin/hiertk-cloud" serve ')


def test_a_dry_run_says_the_same_and_does_nothing(tmp_path: Path) -> None:
    told = run_install(tmp_path, "--dry-run", "--json")
    assert not list(tmp_path.iterdir())
    assert deeds(told) == deeds(run_install(tmp_path, "--json"))
    run_install(tmp_path, "--uninstall", "--dry-run")
    assert (tmp_path / "etc/systemd/system" / UNIT).exists()


def test_uninstalling_takes_the_unit_and_leaves_configuration_and_secrets(tmp_path: Path) -> None:
    run_install(tmp_path)
    secret = tmp_path / "etc/hiertk/credentials/broker-password"
    secret.write_text("x")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / UNIT).symlink_to(f"/etc/systemd/system/{UNIT}")
    run_install(tmp_path, "--uninstall")
    assert not list(tmp_path.rglob(UNIT))
    assert secret.exists()
    assert (tmp_path / "etc/hiertk/cloud.toml").exists()
    assert set(deeds(run_install(tmp_path, "--uninstall", "--json")).values()) == {"kept"}


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("in the way")
    with pytest.raises(errors.StorageError, match=r"cannot write .*: Not a directory"):
        run_install(tmp_path)


@pytest.mark.parametrize(("option", "value"), [("--root", "/no/such"), ("--program", "here")])
def test_a_wrong_option_is_one_line(option: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match=option):
        run_install(tmp_path, option, value)


def test_the_shipped_configuration_has_every_key_with_its_default(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text(shipped("cloud.toml"))
    as_shipped = load_config(file)
    told = re.sub(r"^# (\w+ = )", r"\1", shipped("cloud.toml"), flags=re.MULTILINE)
    for key in keys_of(type(as_shipped)):
        assert len(re.findall(rf"^{key[-1]} = ", told, re.MULTILINE)) == 1, key
    examples = r"^(factory|ca|certificate|key|username|\w+_file|public_key) = .*\n"
    file.write_text(re.sub(examples, "", told, flags=re.MULTILINE))
    assert load_config(file) == as_shipped


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    run_install(tmp_path, program=str(Path(sys.executable).with_name("hiertk-cloud")))
    return tmp_path / "etc/systemd/system" / UNIT


def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path) -> None:
    assert analyze("verify", str(unit)) == ""


def test_the_unit_leaves_the_service_little_to_break(unit: Path) -> None:
    analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(unit))


def test_the_unit_runs_a_command_that_the_service_knows() -> None:
    program, command, *options = shlex.split(setting(shipped(UNIT), "ExecStart"))
    assert (program, command) == (PROGRAM, "serve")
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    assert serve.make_context("serve", options).params["config"] == Path("/etc/hiertk/cloud.toml")


def test_the_unit_does_not_start_again_what_starting_again_cannot_mend() -> None:
    kept_down = {int(code) for code in setting(shipped(UNIT), "RestartPreventExitStatus").split()}
    lasting = {errors.ConfigError, errors.ModelError, errors.BundleError}
    assert kept_down == {2} | {kind.exit_code for kind in lasting}


def analyze(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "--man=no", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr
