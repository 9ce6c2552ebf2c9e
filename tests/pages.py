"""What pages of documentation show: commands, links and lines of tables."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

BIN = Path(sys.executable).parent
TIMEOUT_S = 240
PROGRAMS = {"hiertk", "hiertk-edge", "hiertk-cloud"}
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def shell_commands(page: Path) -> list[str]:
    """Return the commands of a page's shell blocks; one that goes on in the next line is one."""
    blocks = [text for kind, text in _BLOCK.findall(page.read_text()) if kind == "sh"]
    lines = "\n".join(dedent(block) for block in blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if shlex.split(line, comments=True)]


def hiertk_commands(page: Path) -> list[list[str]]:
    """Return the words of HierTK's own commands, whoever and wherever the page runs them."""
    return _of_hiertk(shell_commands(page))


def inline_commands(page: Path) -> list[list[str]]:
    """Return the words of HierTK's commands within a page's sentences and tables."""
    codes = _CODE.findall(_BLOCK.sub("", page.read_text()))
    return _of_hiertk([code.strip("`") for code in codes if "hiertk" in code])


def links(page: Path) -> list[str]:
    """Return a page's links and pictures, but for those to other sites."""
    found = _LINK.findall(_CODE.sub("", _BLOCK.sub("", page.read_text())))
    return [link for link in found if not re.match(r"\w+:", link)]


def broken_links(page: Path) -> list[str]:
    """Return the page's links to files, or to headings of pages, that are not there."""
    return [link for link in links(page) if not _leads_somewhere(page, link)]


def table_lines(page: Path, title: str) -> list[str]:
    """Return what stands as code in the first cell of each row, of tables titled so."""
    cells: list[str] = []
    is_inside = False
    for line in page.read_text().splitlines():
        first = line.split("|")[1].strip() if line.startswith("|") else ""
        is_inside = first == title or (is_inside and bool(first))
        cells += [code.strip("`") for code in _CODE.findall(first) if is_inside]
    return cells


def environment() -> dict[str, str]:
    """Return an environment in which HierTK's commands are found."""
    return os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def run(words: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command as a reader would type it in a folder."""
    return subprocess.run(
        words,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def _of_hiertk(lines: list[str]) -> list[list[str]]:
    """Return the words of the lines that run a program of ours, without sudo and its folder."""
    shown = [shlex.split(line, comments=True) for line in lines]
    typed = [words[1:] if words[0] == "sudo" else words for words in shown]
    named = [[Path(words[0]).name, *words[1:]] for words in typed]
    return [words for words in named if words[0] in PROGRAMS]


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings, each of which is there once."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
