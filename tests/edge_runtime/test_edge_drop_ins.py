"""The drop-ins of a device's unit that pass certificates and passwords on."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hiertk_edge.cli import app
from hiertk_protocol.credentials import Credentials

DEPLOY = Path(__file__).parent.parent.parent / "edge_runtime" / "deploy"
UNIT = "hiertk-edge@.service"
DROP_INS = {"certificate.conf": "certificate", "password.conf": "password"}


@pytest.mark.parametrize("drop_in", DROP_INS)
def test_systemd_finds_nothing_wrong_with_it(drop_in: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    here = Path(sys.executable).with_name("hiertk-edge")
    unit = tmp_path / "hiertk-edge@pi-1.service"
    text = (DEPLOY / UNIT).read_text().replace("/opt/hiertk/bin/hiertk-edge", str(here))
    unit.write_text(text + (DEPLOY / drop_in).read_text())
    done = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("drop_in", DROP_INS)
def test_what_it_loads_is_what_the_command_is_told(drop_in: str) -> None:
    text = (DEPLOY / drop_in).read_text()
    loaded = set(re.findall(r"^LoadCredential=([\w.]+):/etc/hiertk/%i/\1$", text, re.MULTILINE))
    told = dict(re.findall(r"(HIERTK_\w+)=(\S+)", text))
    in_folder = {value.removeprefix("%d/") for value in told.values() if "%d/" in value}
    assert loaded == in_folder
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    known = {option.envvar for option in command.params if option.envvar}
    assert told.keys() <= known
    given = {option.name for option in command.params if option.envvar and option.envvar in told}
    fields = set(Credentials.__dataclass_fields__) | {"password_file"}
    assert given <= fields
