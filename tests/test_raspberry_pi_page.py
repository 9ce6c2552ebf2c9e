"""The commands of docs/raspberry-pi.md are ones that HierTK knows, and do what the page says."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from hiertk.cli import app as toolkit
from hiertk_edge.cli import app as edge
from hiertk_edge.installation import of_device, unit_of
from pages import broken_links, run, shell_commands

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "raspberry-pi.md"
ON_THE_PI = r"/opt/hiertk/bin/|/srv/hiertk/"


def shown() -> list[list[str]]:
    return [shlex.split(line) for line in shell_commands(PAGE)]


def ours() -> list[list[str]]:
    """Return the commands of HierTK, as one would type them in a folder with everything in it."""
    here = [[re.sub(ON_THE_PI, "", word) for word in words] for words in shown()]
    typed = [words[1:] if words[0] == "sudo" else words for words in here]
    return [words for words in typed if words[0] in {"hiertk", "hiertk-edge"}]


def test_it_shows_the_way_from_export_to_training() -> None:
    assert [words[:2] for words in ours()] == [
        ["hiertk", "data"],
        ["hiertk", "export"],
        ["hiertk", "verify"],
        ["hiertk-edge", "verify"],
        ["hiertk-edge", "run"],
        ["hiertk-edge", "install"],
        ["hiertk-edge", "doctor"],
        ["hiertk-edge", "status"],
    ]


@pytest.mark.parametrize("words", ours(), ids=lambda words: " ".join(words[:2]))
def test_a_command_takes_the_options_that_it_shows(words: list[str]) -> None:
    program = typer.main.get_command(toolkit if words[0] == "hiertk" else edge)
    program.commands[words[1]].make_context(words[1], list(words[2:]))  # type: ignore[attr-defined]


def test_the_service_that_it_starts_is_the_one_that_it_installs(tmp_path: Path) -> None:
    (install,) = [words for words in ours() if words[1] == "install"]
    device = install[install.index("--device") + 1]
    deeds = of_device(tmp_path, Path("/opt/hiertk/bin/hiertk-edge"), device).install()
    made = {f"/{deed.path.relative_to(tmp_path)}" for deed in deeds}
    page = PAGE.read_text()
    assert set(re.findall(r"/etc/hiertk/[\w.-]+", page)) <= made
    assert f"systemctl enable --now {unit_of(device).removesuffix('.service')}" in page


def test_its_links_lead_somewhere() -> None:
    assert broken_links(PAGE) == []


@pytest.mark.slow
def test_the_commands_work_up_to_the_first_run(tmp_path: Path) -> None:
    first = [words for words in ours() if words[1] not in {"install", "doctor", "status"}]
    for words in first:
        if words[:2] == ["hiertk-edge", "run"]:
            words += ["--drain-timeout", "0"]
        done = run(words, tmp_path)
        expected = 9 if "--drain-timeout" in words else 0  # nothing takes the messages
        assert done.returncode == expected, f"{words}\n{done.stdout}\n{done.stderr}"
    assert list((tmp_path / "first-run" / "checkpoints").iterdir())
