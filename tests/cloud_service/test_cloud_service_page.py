"""What docs/cloud-service.md shows: commands that are known, files that are put where it says."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from hiertk_cloud.cli import app
from hiertk_cloud.config import load_config
from hiertk_cloud.installation import installation
from pages import broken_links, shell_commands

PAGE = Path(__file__).parent.parent.parent / "docs" / "cloud-service.md"


def ours() -> list[list[str]]:
    """Return the commands of the service, each as its words behind the program's name."""
    inline = re.findall(r"`([^`\n]*hiertk-cloud [^`\n]*)`", PAGE.read_text())
    text = "\n".join(shell_commands(PAGE) + inline)
    found = re.findall(r"^(?:sudo )?(?:/opt/hiertk/bin/)?hiertk-cloud (.+)$", text, re.MULTILINE)
    return [shlex.split(words) for words in found]


def test_it_shows_the_way_from_installation_to_an_upgrade() -> None:
    assert {words[0] for words in ours()} >= {"install", "check", "serve"}


@pytest.mark.parametrize("words", ours(), ids=" ".join)
def test_a_command_takes_the_options_that_it_shows(words: list[str]) -> None:
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])


def test_what_is_put_in_place_is_where_it_says(tmp_path: Path) -> None:
    deeds = installation(tmp_path, Path("/opt/hiertk/bin/hiertk-cloud")).install()
    table = re.findall(r"^\| `(/[^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert [f"/{deed.path.relative_to(tmp_path)}" for deed in deeds] == [
        path.rstrip("/") for path in table
    ]


def test_the_configuration_that_it_shows_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "cloud.toml"
    file.write_text(f'bundle = "b"\nstate = "s"\n{block}')
    assert load_config(file).broker.password_file is not None


def test_its_links_lead_somewhere() -> None:
    assert broken_links(PAGE) == []
