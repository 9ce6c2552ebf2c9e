"""The command line: help that teaches, one line per error, an exit code per kind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run_here
from hiertk_cloud.cli import main
from hiertk_cloud.report import Reporter


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hiertk_cloud", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_tells_what_it_does_and_gives_an_example() -> None:
    result = command("serve", "--help")
    assert result.returncode == 0
    for word in ("--bundle", "--broker", "--state", "--replay", "--json", "Example: "):
        assert word in result.stdout


def test_a_missing_bundle_is_one_line_and_its_code(tmp_path: Path) -> None:
    result = run_here(
        main,
        *("serve", "--bundle", tmp_path / "none", "--broker", "mqtt://localhost"),
        *("--state", tmp_path / "state"),
        folder=tmp_path,
    )
    assert result.returncode == 7
    assert result.stderr.startswith("BundleError: ")
    assert result.stderr.count("\n") == 1


def test_lines_are_for_people_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter().say("progress", "cloud step 3", cloud_step=3)
    Reporter(as_json=True).say("progress", "cloud step 3", cloud_step=3, loss=float("nan"))
    human, machine = capsys.readouterr().out.splitlines()
    assert human.endswith(" cloud step 3")
    line = json.loads(machine)
    assert (line["event"], line["cloud_step"], line["loss"]) == ("progress", 3, None)
