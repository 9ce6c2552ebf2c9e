"""What the arm64 tests share: the emulated Raspberry Pi with this checkout installed."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arm64.debian import build_wheel, cached_root
from arm64.emulation import VENV, WORK, EmulatedMachine, missing_part

INSTALL_TIMEOUT_S = 240


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Prints a line at once: making the root takes minutes."""
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    assert capture is not None
    started = time.monotonic()

    def print_line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"[{time.monotonic() - started:5.1f} s] {text}", file=sys.stderr, flush=True)

    return print_line


@pytest.fixture(scope="session")
def pi(
    tmp_path_factory: pytest.TempPathFactory, tell: Callable[[str], None]
) -> Iterator[EmulatedMachine]:
    """A machine on which `pip install 'hiertk[edge]'` has been done."""
    missing = missing_part()
    if missing is not None:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("pi")
    wheel = build_wheel(folder)
    machine = EmulatedMachine(cached_root(wheel, tell), folder / "machine")
    machine.prepare()
    install(machine, wheel)
    tell("hiertk[edge] is installed")
    yield machine
    shutil.rmtree(machine.folder)


def install(machine: EmulatedMachine, wheel: Path) -> None:
    """Install the wheel with its extra. pip may fetch nothing: all it requires must be there."""
    shutil.copy(wheel, machine.shared)
    done = machine.run(
        f"/{VENV}/bin/python", "-m", "pip", "install", "--no-index", "--no-cache-dir",
        "--root-user-action=ignore", f"/{WORK}/{wheel.name}[edge]",
        timeout_s=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Successfully installed hiertk-" in done.stdout, done.stdout
