import os
import signal
import subprocess
import sys

import pytest
from hiertk_protocol.errors import (
    BundleError,
    ConfigError,
    ExportError,
    HiertkError,
    ModelError,
    ParityError,
    ProtocolError,
    StorageError,
    TransportError,
)

KINDS = {
    ConfigError: 3,
    ModelError: 4,
    ExportError: 5,
    ParityError: 6,
    BundleError: 7,
    ProtocolError: 8,
    TransportError: 9,
    StorageError: 10,
}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "HIERTK_DEBUG"}


def run_script(body: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body), *arguments],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


SCRIPT = """
from hiertk_protocol import console, errors
def app():
    {body}
console.run(app)
"""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_one_line_and_the_exit_code_of_its_kind(kind: type[HiertkError]) -> None:
    result = run_script(f"raise errors.{kind.__name__}('what was wrong: do this')")
    assert result.returncode == KINDS[kind]
    assert result.stderr == f"{kind.__name__}: what was wrong: do this\n"
    assert result.stdout == ""


def test_success_leaves_with_0() -> None:
    assert run_script("pass").returncode == 0


def test_a_wrong_command_line_leaves_with_2() -> None:
    body = "import typer; cli = typer.Typer(); cli.command()(lambda: None); cli()"
    assert run_script(body, "--nonsense").returncode == 2


@pytest.mark.parametrize("with_typer", [False, True])
def test_an_interruption_leaves_with_130(*, with_typer: bool) -> None:
    body = "raise KeyboardInterrupt"
    if with_typer:
        body = "import typer, signal; cli = typer.Typer(); "
        body += "cli.command()(lambda: signal.raise_signal(signal.SIGINT)); cli()"
    result = run_script(body)
    assert result.returncode == 130
    assert "Traceback" not in result.stderr


def test_an_error_of_a_typer_command_keeps_its_code() -> None:
    body = "import typer; cli = typer.Typer()\n"
    body += "    def fail(): raise errors.StorageError('disk full: make room')\n"
    body += "    cli.command()(fail); cli()"
    result = run_script(body)
    assert result.returncode == 10
    assert result.stderr == "StorageError: disk full: make room\n"


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["--debug"], {}), ([], {"HIERTK_DEBUG": "1"})]
)
def test_debug_shows_the_traceback(arguments: list[str], environment: dict[str, str]) -> None:
    result = run_script("raise errors.ModelError('no')", *arguments, **environment)
    assert result.returncode == 4
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("ModelError: no\n")


def test_an_unforeseen_error_shows_its_traceback() -> None:
    result = run_script("1 / 0")
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr


def test_sigterm_runs_every_finally() -> None:
    body = """import time
    console.terminate_like_interrupt()
    try:
        print("ready", flush=True)
        time.sleep(30)
    finally:
        print("cleaned up")"""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (130, "cleaned up\n", "Interrupted.\n")
