"""What docs/edge-agent.md says: its commands, and every setting with its default."""

import re
from pathlib import Path
from typing import Any

from hiertk_edge.cli import app
from hiertk_edge.config import EdgeConfig, load_config
from hiertk_edge.installation import of_device
from hiertk_protocol.errors import HiertkError, error_of_exit_code
from hiertk_protocol.host.configuration import keys_of
from pages import hiertk_commands
from pydantic import BaseModel

PAGE = Path(__file__).parent.parent.parent / "docs" / "edge-agent.md"
MADE_UP = {"state"}  # its default depends on others


def default_of(model: type[BaseModel], key: tuple[str, ...]) -> str:
    """Return a key's default as the page writes it."""
    field = model.model_fields[key[0]]
    if key[1:]:
        assert isinstance(field.annotation, type)
        return default_of(field.annotation, key[1:])
    return "needed" if field.is_required() else as_toml(field.default)


def as_toml(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return "`[]`" if value == () else f"`{value:g}`"


def test_it_shows_the_way_from_installation_to_an_upgrade() -> None:
    shown = [words[1] for words in hiertk_commands(PAGE)]
    assert shown == ["install", "doctor", "status", "install"]


def test_it_has_every_setting_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z][\w.]+)` \| (.+?) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    told = {key: default for key, default in rows if key not in MADE_UP}
    keys = {".".join(key): key for key in keys_of(EdgeConfig)}
    assert told == {
        name: default_of(EdgeConfig, key) for name, key in keys.items() if name not in MADE_UP
    }
    assert len(rows) == len(keys)


def test_what_is_put_in_place_is_where_it_says(tmp_path: Path) -> None:
    deeds = of_device(tmp_path, Path("/opt/hiertk/bin/hiertk-edge"), "pi-1").install()
    table = re.findall(r"^\| `(/[^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert [f"/{deed.path.relative_to(tmp_path)}" for deed in deeds] == [
        path.rstrip("/") for path in table
    ]


def test_the_table_of_the_broker_that_it_shows_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "pi-1.toml"
    file.write_text(f'bundle = "b"\ndevice = "pi-1"\ndata = "folder:d"\n{block}')
    assert load_config(file).broker.certificate == tmp_path / "pi-1" / "device.pem"


def test_every_exit_code_that_it_explains_is_one() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)}
    known = {code for code in codes if error_of_exit_code(code) is not HiertkError}
    assert codes - known == {0, 1, 2, 130}
    assert app.info.epilog is not None
    epilog = {int(code) for code in re.findall(r"(\d+) [a-z]", app.info.epilog)}
    assert codes - {1} == epilog
