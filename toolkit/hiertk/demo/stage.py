"""What every demo needs: a folder that appears when it is whole, a broker, the cloud service."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError, TransportError
from hiertk_protocol.hiertk_pb2 import ModelStatus

from hiertk.brokers import Broker, EmbeddedBroker, MosquittoBroker, installed_broker
from hiertk.demo.processes import Child, Children
from hiertk.demo.watch import Moment, Watcher

LOOK_EVERY_S = 0.25
_CLOUD_START_TIMEOUT_S = 90.0
_CLOUD_THREADS = 4
_DASHBOARD = re.compile(r"http://[\d.]+:\d+")
_BROKERS: dict[str, Callable[[Path], Broker]] = {
    "mosquitto": MosquittoBroker,
    "embedded": EmbeddedBroker,
    "auto": installed_broker,
}


def check_broker(kind: str) -> None:
    """Refuse a kind of broker that there is not. Raises ConfigError."""
    if kind not in _BROKERS:
        raise ConfigError(f"--broker {kind}: choose {', '.join(_BROKERS)}")


def open_broker(kind: str, folder: Path) -> Broker:
    """Return a broker of a checked kind, to be entered."""
    return _BROKERS[kind](folder)


@contextmanager
def finished_folder(runs: Path, kind: str) -> Iterator[tuple[Path, Path]]:
    """Yield a folder to work in, and where it will be once the block has ended well.

    Nothing is left of it otherwise.
    """
    name = time.strftime(f"{kind}-%Y%m%d-%H%M%S")
    runs.mkdir(parents=True, exist_ok=True)
    folder, finished = runs / f".{name}.unfinished", runs / name
    folder.mkdir()
    try:
        yield folder, finished
        folder.rename(finished)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start_cloud(children: Children, folder: Path, bundle: Bundle, broker_url: str) -> Child:
    """Start the cloud service with its state below a folder, and its dashboard on a free port."""
    threads = min(os.cpu_count() or 1, _CLOUD_THREADS)
    return children.start(
        "cloud", "hiertk_cloud", "serve",
        "--bundle", str(bundle.folder), "--broker", broker_url,
        "--state", str(folder / "cloud"), "--threads", str(threads),
        "--api", "127.0.0.1:0",
    )  # fmt: skip


def wait_for_cloud(cloud: Child, watcher: Watcher, show: Callable[[Moment], None]) -> None:
    """Wait until the cloud service is online. Raises TransportError."""
    deadline = time.monotonic() + _CLOUD_START_TIMEOUT_S
    while True:
        moment = watcher.now()
        if moment.model.state == ModelStatus.ONLINE:
            return
        if cloud.is_done or time.monotonic() > deadline:
            raise TransportError(f"the cloud service is not online: see {cloud.log}")
        show(moment)
        time.sleep(LOOK_EVERY_S)


def dashboard_line(cloud: Child) -> str | None:
    """Return where the dashboard is, once the cloud service has said it."""
    found = _DASHBOARD.search(cloud.log.read_text())
    return f"Live in a browser, while it runs: {found[0]}" if found else None


def is_consumed(moment: Moment) -> bool:
    """Return whether the cloud has consumed all that the devices have spooled."""
    sent = sum(device.spooled_total for device in moment.devices.values())
    return moment.model.consumed_total >= sent > 0
