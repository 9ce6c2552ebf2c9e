"""`hiertk plan` as typed: one line for each wrong flag, a table, JSON and a picture."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import planner_parts as parts
import pytest
import typer
from hiertk.commands.plan import plan
from hiertk_protocol.errors import ConfigError
from typer.testing import CliRunner

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(plan)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["--model", "resnet18", *arguments])


def profile_flags(folder: Path) -> list[str]:
    paths = parts.write_profiles(folder)
    edge, cloud = paths["edge_profile"], paths["cloud_profile"]
    return ["--edge-profile", str(edge), "--cloud-profile", str(cloud)]


def test_a_table_and_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "plan.png"
    done = run("--uplink", "1.1mbit", *profile_flags(tmp_path), "--plot", str(picture))
    assert done.exit_code == 0, done.output
    assert "Choice: separation point" in done.output
    assert picture.is_file()


def test_json_is_one_object_and_nothing_else(tmp_path: Path) -> None:
    done = run("--uplink", "1.1mbit", *profile_flags(tmp_path), "--bits", "8", "--json")
    told = json.loads(done.stdout)
    assert {point["bits"] for point in told["points"]} == {8}
    assert told["settings"]["bits"] == 8


def test_limits_reach_the_selection(tmp_path: Path) -> None:
    done = run("--uplink", "1.1mbit", *profile_flags(tmp_path), "--max-edge-memory", "64MB")
    assert isinstance(done.exception, ConfigError)
    assert "--max-edge-memory: 96.2 MB is more than 64 MB" in str(done.exception)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], "--uplink is missing"),
        (["--uplink", "-1mbit"], "--uplink '-1mbit': must be more than zero"),
        (["--uplink", "1"], "--uplink '1': no unit"),
        (["--uplink", "1mbit", "--downlink", "x"], "--downlink 'x'"),
        (["--uplink", "1mbit", "--rtt", "5"], "--rtt '5': no unit"),
        (["--uplink", "1mbit", "--efficiency", "0%"], "--efficiency '0%'"),
        (["--uplink", "1mbit", "--max-edge-parameters", "0"], "--max-edge-parameters '0'"),
        (["--uplink", "1mbit", "--max-uplink-bytes", "1"], "--max-uplink-bytes '1': no unit"),
        (["--uplink", "1mbit", "--max-step-time", "fast"], "--max-step-time 'fast'"),
        (["--uplink", "1mbit", "--max-accuracy-drop", "3"], "--max-accuracy-drop '3': more"),
        (["--uplink", "1mbit", "--plot", "plan.gif"], "--plot plan.gif: pictures are"),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(flags: list[str], line: str) -> None:
    done = run(*flags)
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith(line)
    assert "\n" not in str(done.exception)


def test_loading_the_command_loads_no_heavy_engine() -> None:
    code = (
        "import sys, hiertk.commands.plan; "
        "print(sorted({'torch', 'matplotlib', 'numpy', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
