"""A machine with `hiertk-cloud install` done, and a bundle whose network can hang."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arm64.debian import build_wheel
from boot.debian import VENV, cached_root, make_venv, missing_python, python_mounts
from boot.machine import WORK, Machine, missing_part
from bundles import export_fashion
from hiertk.data import load, write_image_folder
from hiertk_protocol.bundle import Bundle

FACTORY = "boot.hanging:network"
BATCH_SIZE = 8
IMAGES = 64
SETTINGS = {"factory": f'"{FACTORY}"', "checkpoint_every": "4", "token_file": '"api-token"'}
# The unit's own times are for machines that are slow, not for tests.
FASTER = "[Service]\nRestartSec=1\nWatchdogSec=10\nTimeoutAbortSec=2\n"


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Prints a line at once: making the root takes a minute."""
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    assert capture is not None
    started = time.monotonic()

    def print_line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"[{time.monotonic() - started:5.1f} s] {text}", file=sys.stderr, flush=True)

    return print_line


@pytest.fixture
def machine(tmp_path: Path, tell: Callable[[str], None]) -> Iterator[Machine]:
    """A root with hiertk from this checkout's wheel; not booted."""
    missing = missing_part()
    if missing is not None:
        pytest.skip(missing)
    base = cached_root(tell)
    missing = missing_python(base)
    if missing is not None:
        pytest.skip(missing)
    shared = tmp_path / "shared"
    shared.mkdir()
    wheel = build_wheel(shared)
    root = tmp_path / "root"
    subprocess.run(["cp", "--archive", str(base), str(root)], check=True)
    make_venv(root)
    machine = Machine(root, shared, python_mounts())
    machine.prepare("ldconfig")
    machine.prepare(
        f"{VENV}/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
        "--no-cache-dir", "--ignore-installed", "--root-user-action=ignore", f"{WORK}/{wheel.name}",
    )  # fmt: skip
    tell("HierTK is installed")
    yield machine
    shutil.rmtree(root)


@pytest.fixture
def bundle(machine: Machine) -> Bundle:
    """A small bundle where the service will look for it, and its code; images beside the device."""
    exported = export_fashion(
        machine.root / "srv/hiertk/bundle", model=FACTORY, split=1, batch_size=BATCH_SIZE
    )
    (site_packages,) = (machine.root / VENV.relative_to("/")).glob("lib/*/site-packages")
    (site_packages / "boot").mkdir()
    shutil.copy(Path(__file__).with_name("hanging.py"), site_packages / "boot")
    shutil.copy(Path(__file__).with_name("watch_status.py"), machine.shared)
    write_image_folder(
        load("fashion-mnist-mini", "train"), range(IMAGES), machine.shared / "images"
    )
    return exported


@pytest.fixture
def configured(machine: Machine, bundle: Bundle) -> Machine:
    """The machine as an operator leaves it: a secret that only root can read, many checkpoints."""
    machine.prepare(f"{VENV}/bin/hiertk-cloud", "install")
    secret = machine.root / "etc/hiertk/credentials/api-token"
    secret.write_text("token-of-the-boot-test\n")
    secret.chmod(0o600)
    file = machine.root / "etc/hiertk/cloud.toml"
    text = file.read_text()
    for key, value in SETTINGS.items():
        text, count = re.subn(rf"^# {key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert count == 1
    file.write_text(text)
    override = machine.root / "etc/systemd/system/hiertk-cloud.service.d/faster.conf"
    override.parent.mkdir()
    override.write_text(FASTER)
    return machine
