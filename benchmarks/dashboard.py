"""What an open dashboard costs the service."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk.brokers import Broker, free_port, installed_broker
from hiertk_protocol.bundle import Bundle

from benchmarks.figures import Figure, at_most, interleave
from benchmarks.service_process import ServiceProcess
from benchmarks.workplace import Workplace

TITLE = "Dashboard: processor time of the service"
HOW = """\
Processor time of the process `hiertk-cloud serve` over wall-clock time, in percent of one core: a
service of ResNet-18 at separation point 2 that is connected to its broker and has no device. It is
measured by turns with nobody watching and with one reader of `/api/events`, which gets what an open
dashboard gets: a frame a second. The reader is no browser, whose own time is not the service's."""

_TURNS = {"tiny": 1, "quick": 2, "full": 6}
_SECONDS = {"tiny": 6.0, "quick": 10.0, "full": 20.0}
_SETTLE_S = 2.0
_FRAME = b"event: frame\n"


def measure(place: Workplace) -> list[Figure]:
    """Return the share of a core that the service takes, watched and not."""
    seconds = _SECONDS[place.effort]
    with installed_broker(place.folder / "broker") as broker:
        service = _WatchedProcess(place.bundle, broker, place.folder / "state")
        with service:
            time.sleep(_SETTLE_S)
            alone, with_dashboard = interleave(
                [lambda: _percent(service, seconds), lambda: _watched_percent(service, seconds)],
                _TURNS[place.effort],
            )
    figures = [
        Figure(
            what="idle service with one dashboard, processor time",
            unit="% of a core",
            samples=tuple(with_dashboard),
            target=at_most(2),
        ),
        Figure(
            what="idle service without a dashboard, processor time",
            unit="% of a core",
            samples=tuple(alone),
        ),
    ]
    place.tell(f"with a dashboard {figures[0].text}, without {figures[1].text}")
    return figures


class _WatchedProcess(ServiceProcess):
    """The service with its API."""

    def __init__(self, bundle: Bundle, broker: Broker, state: Path) -> None:
        super().__init__(bundle, broker, state)
        self.port = free_port()
        self._command[self._command.index("--api") + 1] = f"127.0.0.1:{self.port}"


def _percent(service: ServiceProcess, seconds: float) -> float:
    before, began = service.processor_s, time.monotonic()
    time.sleep(seconds)
    return 100 * (service.processor_s - before) / (time.monotonic() - began)


def _watched_percent(service: _WatchedProcess, seconds: float) -> float:
    with _reader(service.port) as frames:
        share = _percent(service, seconds)
    if frames() < seconds / 2:
        raise RuntimeError(f"{frames()} frames in {seconds:g} s: nobody was watching")
    return share


@contextmanager
def _reader(port: int) -> Iterator[Callable[[], int]]:
    """Read the stream of events; yield what tells how many frames have come."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api/events")
    response = connection.getresponse()
    ending = threading.Event()
    frames = 0

    def read() -> None:
        nonlocal frames
        while not ending.is_set():
            frames += response.readline() == _FRAME

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lambda: frames
    finally:
        ending.set()
        reader.join()
        connection.close()
