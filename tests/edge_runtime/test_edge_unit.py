"""The service of a device: what is put in place, what is kept, and what systemd says of it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hiertk_edge.cli import app
from hiertk_edge.commands.install import install
from hiertk_edge.config import load_config
from hiertk_edge.installation import UNIT
from hiertk_protocol import errors
from hiertk_protocol.host.installation import shipped
from typer.testing import CliRunner

PROGRAM = "/opt/hiertk/bin/hiertk-edge"
MOST_EXPOSURE = 25  # tenths of the score
UNITS = Path("etc/systemd/system")
CAMERA = UNITS / "hiertk-edge@pi-1.service.d/camera.conf"


def run_install(root: Path, *arguments: str, program: str = PROGRAM) -> str:
    """Install into a root and return what is printed."""
    alone = typer.Typer()
    alone.command()(install)
    command = ["--root", str(root), "--program", program, *arguments]
    result = CliRunner().invoke(alone, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def deeds(output: str, root: Path) -> dict[str, str]:
    """Return what was done, by the path below the root."""
    told = json.loads(output)["deeds"]
    return {str(Path(deed["path"]).relative_to(root)): deed["done"] for deed in told}


def setting(text: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(value)


def enable(root: Path, device: str) -> Path:
    """Do what `systemctl enable` does."""
    link = root / UNITS / "multi-user.target.wants" / f"hiertk-edge@{device}.service"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(f"/{UNITS / UNIT}")
    return link


def test_a_devices_service_is_put_in_place_with_rights_that_keep_secrets(tmp_path: Path) -> None:
    output = run_install(tmp_path, "--device", "pi-2")
    unit = tmp_path / UNITS / UNIT
    assert setting(unit.read_text(), "ExecStart").startswith(f"{PROGRAM} run ")
    assert unit.stat().st_mode & 0o777 == 0o644
    file = tmp_path / "etc/hiertk/pi-2.toml"
    assert load_config(file).device == "pi-2"
    assert file.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "etc/hiertk/pi-2").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / CAMERA).exists()
    assert "hiertk-edge doctor --config" in output
    assert "hiertk-edge@pi-2" in output


def test_doing_it_again_keeps_the_configuration_and_brings_the_unit_up_to_date(
    tmp_path: Path,
) -> None:
    device = ("--device", "pi-1", "--camera", "--json")
    places = (str(UNITS / UNIT), str(CAMERA), "etc/hiertk/pi-1.toml", "etc/hiertk/pi-1")
    first = deeds(run_install(tmp_path, *device), tmp_path)
    assert first == dict(zip(places, ("written", "written", "written", "made"), strict=True))
    (tmp_path / "etc/hiertk/pi-1.toml").write_text("# mine\n")
    again = deeds(run_install(tmp_path, *device), tmp_path)
    assert again == dict(zip(places, ("unchanged", "unchanged", "kept", "kept"), strict=True))
    moved = deeds(run_install(tmp_path, *device, program="/srv/new/hiertk-edge"), tmp_path)
    assert moved[str(UNITS / UNIT)] == "replaced"
    assert (tmp_path / "etc/hiertk/pi-1.toml").read_text() == "# mine\n"


def test_without_a_device_only_the_unit_is_put_in_place(tmp_path: Path) -> None:
    output = run_install(tmp_path, "--json")
    assert deeds(output, tmp_path) == {str(UNITS / UNIT): "written"}
    assert json.loads(output)["next"] == ["hiertk-edge install --device NAME"]


def test_a_dry_run_says_the_same_and_does_nothing(tmp_path: Path) -> None:
    told = run_install(tmp_path, "--device", "pi-1", "--dry-run", "--json")
    assert not list(tmp_path.iterdir())
    done = run_install(tmp_path, "--device", "pi-1", "--json")
    assert deeds(told, tmp_path) == deeds(done, tmp_path)


def test_taking_a_device_away_leaves_the_others_and_what_is_its_own(tmp_path: Path) -> None:
    for device in ("pi-1", "pi-2"):
        run_install(tmp_path, "--device", device, "--camera")
    gone, stays = enable(tmp_path, "pi-1"), enable(tmp_path, "pi-2")
    run_install(tmp_path, "--uninstall", "--device", "pi-1")
    assert not gone.is_symlink()
    assert not (tmp_path / CAMERA).exists()
    assert stays.is_symlink()
    assert (tmp_path / UNITS / UNIT).exists()
    assert (tmp_path / "etc/hiertk/pi-1.toml").exists()


def test_taking_all_away_leaves_configurations_and_secrets(tmp_path: Path) -> None:
    links = []
    for device in ("pi-1", "pi-2"):
        run_install(tmp_path, "--device", device, "--camera")
        links.append(enable(tmp_path, device))
    run_install(tmp_path, "--uninstall")
    assert not any(link.is_symlink() for link in links)
    assert not [path for path in (tmp_path / UNITS).rglob("*") if path.is_file()]
    assert (tmp_path / "etc/hiertk/pi-2").is_dir()
    assert deeds(run_install(tmp_path, "--uninstall", "--json"), tmp_path) == {}


@pytest.mark.parametrize(
    "options", [("--root", "/no/such"), ("--program", "here"), ("--camera",), ("--device", "Pi 1")]
)
def test_a_wrong_option_is_one_line(options: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match=r"^[^\n]+$"):
        run_install(tmp_path, *options)


@pytest.fixture(params=[(), ("--camera",)], ids=["without camera", "with camera"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit of device pi-1, with a program that is on this machine, and its drop-in."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    here = str(Path(sys.executable).with_name("hiertk-edge"))
    run_install(tmp_path, "--device", "pi-1", *request.param, program=here)
    drop_in = tmp_path / CAMERA
    one = tmp_path / "hiertk-edge@pi-1.service"
    text = (tmp_path / UNITS / UNIT).read_text()
    one.write_text(text + (drop_in.read_text() if drop_in.exists() else ""))
    return one


def test_systemd_finds_nothing_wrong_with_it(unit: Path) -> None:
    assert analyze("verify", str(unit)) == ""


def test_it_leaves_the_trainer_little_to_break(unit: Path) -> None:
    analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(unit))


def test_it_runs_a_command_that_the_device_knows() -> None:
    line = setting(shipped("hiertk_edge", UNIT), "ExecStart").replace("%i", "pi-1")
    program, command, *options = shlex.split(line)
    assert (program, command) == (PROGRAM, "run")
    parsed = typer.main.get_command(app).commands["run"].make_context("run", options).params  # type: ignore[attr-defined]
    assert parsed["config"] == Path("/etc/hiertk/pi-1.toml")


def test_it_does_not_start_again_what_starting_again_cannot_mend() -> None:
    kept_down = setting(shipped("hiertk_edge", UNIT), "RestartPreventExitStatus")
    lasting = {errors.ConfigError, errors.BundleError, errors.ProtocolError}
    assert {int(code) for code in kept_down.split()} == {2} | {kind.exit_code for kind in lasting}


def test_a_camera_is_opened_with_its_drop_in_alone() -> None:
    assert setting(shipped("hiertk_edge", UNIT), "PrivateDevices") == "yes"
    assert setting(shipped("hiertk_edge", "camera.conf"), "DevicePolicy") == "closed"


def analyze(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "--man=no", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr
