"""The documentation reads as one guide: what it links to, runs and quotes is there."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from hiertk.cli import app as toolkit
from hiertk_cloud.cli import app as cloud
from hiertk_edge.cli import app as edge
from pages import (
    broken_links,
    hiertk_commands,
    inline_commands,
    links,
    shell_commands,
    table_lines,
)
from said_lines import can_be_said, said_lines
from typer.core import TyperGroup

from benchmarks.cli import BENCHMARKS, OF_THE_PHONE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
START = DOCS / "README.md"
STUDIES = ("accuracy.md", "new-classes.md", "runtime.md")
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "android_demo" / "README.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "protocol").rglob("*.md")),
]
PROGRAMS = {
    name: typer.main.get_command(app)
    for name, app in {"hiertk": toolkit, "hiertk-edge": edge, "hiertk-cloud": cloud}.items()
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and the words behind its name."""
    command: Any = PROGRAMS[words[0]]
    rest = words[1:]
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def reached_from(start: Path) -> set[Path]:
    """Return the pages that links lead to; a link to a folder leads to its pages."""
    reached = {start}
    waiting = [start]
    while waiting:
        page = waiting.pop()
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        found = {one for target in targets for one in (target, *target.glob("*.md"))}
        new = {one for one in found if one.suffix == ".md"} - reached
        reached |= new
        waiting += new
    return reached


def verdicts(text: str) -> set[str]:
    """Return the rows of tables that say whether a target was met."""
    return set(re.findall(r"^\|.* (?:met|\*\*missed[^|]*) \|.*$", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_and_picture_is_there(page: Path) -> None:
    assert broken_links(page) == []


def test_every_page_is_reached_from_the_first_one() -> None:
    assert set(DOCS.rglob("*.md")) - reached_from(START) == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_takes_the_options_and_values_that_it_is_shown_with(page: Path) -> None:
    for words in hiertk_commands(page):
        command, rest = command_of(words)
        command.make_context(" ".join(words), list(rest))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_that_a_sentence_names_has_the_options_that_it_names(page: Path) -> None:
    for words in inline_commands(page):
        command, rest = command_of(words)
        known = {option for parameter in command.params for option in parameter.opts}
        named = {word.partition("=")[0] for word in rest if word.startswith("-")}
        assert named <= known | {"--help"}, " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_knows_the_targets_that_are_shown(page: Path) -> None:
    for line in shell_commands(page):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            subprocess.run([*words, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_every_error_line_that_is_explained_is_one_that_a_program_says() -> None:
    said = said_lines()
    quoted = [line for page in PAGES for line in table_lines(page, "line")]
    assert len(quoted) > 90
    assert [line for line in quoted if not can_be_said(line, said)] == []


def test_the_results_repeat_the_pages_of_the_programs_and_leave_out_no_miss() -> None:
    told = verdicts((DOCS / "results.md").read_text())
    studies = [verdicts((DOCS / page).read_text()) for page in STUDIES]
    summary = verdicts((DOCS / "benchmarks.md").read_text().partition("\n## ")[0])
    found = summary.union(*studies)
    assert told <= found
    assert {row for row in found if "**missed" in row} <= told


def test_the_benchmarks_that_are_named_are_there() -> None:
    for page in PAGES:
        named = re.findall(r"`python -m benchmarks ([a-z_ ]+)`", page.read_text())
        assert set(" ".join(named).split()) <= {*BENCHMARKS, *OF_THE_PHONE}, page
