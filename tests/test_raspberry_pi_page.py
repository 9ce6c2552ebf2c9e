"""The commands of docs/raspberry-pi.md do what the page says."""

import re
from pathlib import Path

import pytest
from hiertk_edge.installation import of_device, unit_of
from pages import hiertk_commands, run

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "raspberry-pi.md"


def ours() -> list[list[str]]:
    """Return the commands of HierTK, as one would type them in a folder with everything in it."""
    return [[word.replace("/srv/hiertk/", "") for word in words] for words in hiertk_commands(PAGE)]


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


def test_the_service_that_it_starts_is_the_one_that_it_installs(tmp_path: Path) -> None:
    (install,) = [words for words in ours() if words[1] == "install"]
    device = install[install.index("--device") + 1]
    deeds = of_device(tmp_path, Path("/opt/hiertk/bin/hiertk-edge"), device).install()
    made = {f"/{deed.path.relative_to(tmp_path)}" for deed in deeds}
    page = PAGE.read_text()
    assert set(re.findall(r"/etc/hiertk/[\w.-]+", page)) <= made
    assert f"systemctl enable --now {unit_of(device).removesuffix('.service')}" in page


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
