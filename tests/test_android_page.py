"""The commands of docs/android.md are ones that HierTK knows; its links lead somewhere."""

import shlex
from pathlib import Path

import pytest
import typer
from hiertk.cli import app as toolkit
from hiertk_cloud.cli import app as cloud
from pages import broken_links, shell_commands

PAGE = Path(__file__).parent.parent / "docs" / "android.md"
PROGRAMS = {"hiertk": toolkit, "hiertk-cloud": cloud}


def ours() -> list[list[str]]:
    """Return the commands of HierTK, without sudo."""
    shown = [shlex.split(line.removeprefix("sudo ")) for line in shell_commands(PAGE)]
    return [words for words in shown if words[0] in PROGRAMS]


def test_it_shows_the_way_from_a_bundle_to_a_paired_phone() -> None:
    assert [words[1] for words in ours()] == ["export", "export", "provision", "pair"]


@pytest.mark.parametrize("words", ours(), ids=lambda words: " ".join(words[:2]))
def test_a_command_takes_the_options_that_it_shows(words: list[str]) -> None:
    commands = typer.main.get_command(PROGRAMS[words[0]]).commands  # type: ignore[attr-defined]
    commands[words[1]].make_context(words[1], list(words[2:]))


def test_its_links_lead_somewhere() -> None:
    assert broken_links(PAGE) == []
