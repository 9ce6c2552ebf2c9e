"""What docs/cloud-service.md shows: its commands, and files that are put where it says."""

import re
from pathlib import Path

from hiertk_cloud.config import load_config
from hiertk_cloud.installation import installation
from pages import hiertk_commands

PAGE = Path(__file__).parent.parent.parent / "docs" / "cloud-service.md"


def test_it_shows_the_way_from_installation_to_an_upgrade() -> None:
    shown = [words[1] for words in hiertk_commands(PAGE)]
    assert shown == ["install", "check", "install", "check"]


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
