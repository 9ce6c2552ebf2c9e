"""Every command that the README shows does what it says."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hiertk.brokers import installed_broker
from hiertk_protocol import errors
from pages import environment, run, shell_commands

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = shell_commands(ROOT / "README.md")
MAKE = [command for command in COMMANDS if command.startswith("make ")]
OTHERS = [
    command
    for command in COMMANDS
    if not command.startswith(("make ", "hiertk demo"))  # tests/toolkit/test_*demo.py run these
]


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.terminate()
    assert [process.wait(20) for process in started] == [0] * len(started)


def test_it_shows_the_main_commands() -> None:
    assert {"make demo", "make test"} <= set(MAKE)
    assert {command.split()[0] for command in OTHERS} == {"hiertk", "hiertk-edge", "hiertk-cloud"}


def test_the_commands_run_one_after_the_other(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    """As a reader types them, in one folder; only the broker is another one than port 1883's."""
    broker = installed_broker(tmp_path / "broker")
    printed: dict[str, str] = {}
    with broker:
        for command in OTHERS:
            words = shlex.split(command.replace("mqtt://localhost", broker.url))
            if words[:2] == ["hiertk-cloud", "serve"] or "--stream" in words:
                log = (tmp_path / f"{words[0]}.log").open("wb")
                with log:
                    processes.append(
                        subprocess.Popen(
                            words, cwd=tmp_path, env=environment(), stdout=log, stderr=log
                        )
                    )
                continue
            done = run(words, tmp_path)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert done.stdout.strip(), command
            printed[" ".join(words[:2])] = done.stdout
    assert (tmp_path / "resnet18-split2-android" / "manifest.json").is_file()
    assert "Bag" in printed["hiertk-edge predict"]


def test_it_lists_every_exit_code() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {kind.exit_code for kind in kinds if issubclass(kind, errors.HiertkError)} - {1}
    assert raised <= listed
    assert {0, 2, 130} <= listed
