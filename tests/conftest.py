"""What all tests share: real brokers, and the switch that forbids skips."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

# Before torch is imported anywhere: with two threads on two busy cores it can be 100 times slower.
os.environ["OMP_NUM_THREADS"] = "1"

from hiertk.brokers import Broker, EmbeddedBroker, MosquittoBroker, find_mosquitto
from hiertk_protocol.bundle import Bundle

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Started in the background (`make test &`) we are told to ignore Ctrl-C, and with us every program
# that a test interrupts; with a handler of our own they begin with the system's default again.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow to make examples, too: that says nothing of what is tested.
hypothesis.settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-machine")

NO_SKIPS = os.environ.get("HIERTK_NO_SKIPS") == "1"
LONGEST = ("test_readme.py", "test_system_crashes.py", "test_system_runs.py", "test_demo.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: at the end each would leave the other processes idle."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def make_broker(kind: str, folder: Path) -> Broker:
    if kind == "embedded":
        return EmbeddedBroker(folder)
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    return MosquittoBroker(folder)


@pytest.fixture(params=["mosquitto", pytest.param("embedded", marks=pytest.mark.slow)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A running broker; the test runs once with each kind."""
    with make_broker(request.param, tmp_path / "broker") as running:
        yield running


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", ())) if reporter else 0


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if NO_SKIPS and _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = _skipped(terminalreporter.config)
    if NO_SKIPS and skipped:
        terminalreporter.write_line(f"HIERTK_NO_SKIPS=1: {skipped} skipped: a failure", red=True)


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """A real browser, for pages of ours."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def resnet18_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """ResNet-18 at separation point 2 with ten classes; not to be changed."""
    from bundles import export_fashion, exported_once

    export = partial(export_fashion, model="resnet18", split=2)
    return exported_once(tmp_path_factory, "resnet18", export)


@pytest.fixture(scope="session")
def bundle_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Bundle]:
    """A bundle for each backend with ten classes, exported once; not to be changed.

    ONNX Runtime's is ResNet-18, the others' the first layers of a VGG-11 with batch normalization.
    """

    @cache
    def export(backend: str) -> Bundle:
        if backend == "onnxruntime":
            found: Bundle = request.getfixturevalue("resnet18_bundle")
            return found
        from bundles import export_fashion, exported_once

        vgg11: dict[str, Any] = {"model": "vgg11_bn", "split": 1, "batch_size": 16}
        export = partial(export_fashion, backend=backend, **vgg11)
        return exported_once(tmp_path_factory, backend, export)

    return export
