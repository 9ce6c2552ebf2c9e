"""The commands of docs/raspberry-pi.md are ones that HierTK knows, and do what the page says."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from hiertk.cli import app as toolkit
from hiertk_edge.cli import app as edge
from pages import broken_links, run, shell_commands

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "raspberry-pi.md"
ON_THE_PI = r"/opt/hiertk/bin/|/srv/hiertk/"


def shown() -> list[list[str]]:
    return [shlex.split(line) for line in shell_commands(PAGE)]


def ours() -> list[list[str]]:
    """Return the commands of HierTK, as one would type them in a folder with everything in it."""
    here = [[re.sub(ON_THE_PI, "", word) for word in words] for words in shown()]
    return [words for words in here if words[0] in {"hiertk", "hiertk-edge"}]


def test_it_shows_the_way_from_export_to_training() -> None:
    assert [words[:2] for words in ours()] == [
        ["hiertk", "data"],
        ["hiertk", "export"],
        ["hiertk", "verify"],
        ["hiertk-edge", "verify"],
        ["hiertk-edge", "run"],
    ]


@pytest.mark.parametrize("words", ours(), ids=lambda words: " ".join(words[:2]))
def test_a_command_takes_the_options_that_it_shows(words: list[str]) -> None:
    program = typer.main.get_command(toolkit if words[0] == "hiertk" else edge)
    program.commands[words[1]].make_context(words[1], list(words[2:]))  # type: ignore[attr-defined]


def test_it_installs_files_that_are_here() -> None:
    copied = [word for words in shown() if words[0] == "scp" for word in words if "/" in word]
    files = [ROOT / word for word in copied]
    assert files
    assert all(file.is_file() for file in files)
    installed = {words[-2] for words in shown() if words[:2] == ["sudo", "install"]}
    assert installed == {file.name for file in files}


def test_its_links_lead_somewhere() -> None:
    assert broken_links(PAGE) == []


@pytest.mark.slow
def test_the_commands_work_up_to_the_first_run(tmp_path: Path) -> None:
    for words in ours():
        if words[:2] == ["hiertk-edge", "run"]:
            words += ["--drain-timeout", "0"]
        done = run(words, tmp_path)
        expected = 9 if "--drain-timeout" in words else 0  # nothing takes the messages
        assert done.returncode == expected, f"{words}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "first-run" / "checkpoint").is_file()
