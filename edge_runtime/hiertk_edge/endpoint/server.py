"""The endpoint's thread: it listens at once, and goes on after whatever ended it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.http_access import is_local_host
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.endpoint.record import (
    Camera,
    EndpointCounts,
    EndpointSettings,
    NamedClasses,
)
from hiertk_edge.endpoint.token import read_or_make_token
from hiertk_edge.endpoint.work import Work
from hiertk_edge.prediction.record import Predicts
from hiertk_edge.sources.record import Intake

PROBLEM = "endpoint"
_BACKLOG = 256
_RECEIVE_BYTES = 64 << 10  # what the kernel holds of a body that nobody reads yet
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_STOP_S = 2.0


class Endpoint:
    """The local HTTP endpoint of one device. address: its URL, once started."""

    address = ""

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        intake: Intake,
        predicts: Predicts,
        classes: NamedClasses,
        info: InputInfo,
        status: Callable[[], Mapping[str, object]],
        problems: Problems,
        camera: Camera | None = None,
        class_counts: Callable[[], Mapping[int, int]] | None = None,
    ) -> None:
        """Check the settings; nothing is opened yet. Raises ConfigError.

        status: what `hiertk-edge status` shows. class_counts: images remembered, by slot.
        """
        self._settings = settings
        self._status = status
        self._problems = problems
        self._camera = camera
        self._class_counts = class_counts
        self._work = Work(intake, predicts, classes, info)
        self._token = ""
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="endpoint", daemon=True)
        self._stop_asked = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()
        _check(settings)

    @property
    def counts(self) -> EndpointCounts:
        """What became of the requests so far."""
        return self._work.counts

    def start(self) -> None:
        """Listen; requests are answered as soon as the thread has imported what it needs.

        Raises ConfigError for an address that can't be had or a token that is not usable,
        StorageError if the token cannot be made.
        """
        self._token = read_or_make_token(self._settings.token_file)
        self._socket = _listen(self._settings)
        self.address = _url_of(self._socket)
        self._thread.start()

    def stop(self) -> None:
        """End within two seconds, whoever is connected; a second call is harmless."""
        self._stop_asked.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._end.set)
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop_asked.is_set():
            self._serve_until_it_ends()
            self._stop_asked.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _serve_until_it_ends(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - the device goes on without its endpoint
            self._problems.begin(PROBLEM, _ended(self.address, error))

    async def _serve(self) -> None:
        from hiertk_edge.endpoint.app import Parts, make_app
        from hiertk_edge.endpoint.serving import serve
        from hiertk_edge.endpoint.workers import Workers

        assert self._socket is not None
        self._end = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._stop_asked.is_set():
            return
        workers = Workers()
        parts = Parts(
            work=self._work,
            status=self._status,
            problems=self._problems,
            token=self._token,
            camera=self._camera,
            class_counts=self._class_counts,
        )
        try:
            await serve(make_app(parts, workers), self._socket, self._end, self._tell_ready)
        finally:
            workers.close()

    def _tell_ready(self) -> None:
        self._problems.end(PROBLEM, f"the HTTP endpoint at {self.address} answers again")


def _check(settings: EndpointSettings) -> None:
    host = settings.host
    if not is_local_host(f"[{host}]" if ":" in host else host):
        raise ConfigError(
            f"the endpoint may not listen on {host!r}: it has no TLS, so take 127.0.0.1 or ::1"
        )
    if not 0 <= settings.port <= 65535:
        raise ConfigError(f"the endpoint's port {settings.port} is none: take 1 to 65535")
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the endpoint needs {' and '.join(missing)}: pip install 'hiertk[agent]'"
        )


def _listen(settings: EndpointSettings) -> socket.socket:
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"the endpoint cannot listen on {host}, port {settings.port}: {error.strerror}: free "
            "the port or choose another one"
        ) from error
    listening.setblocking(False)  # noqa: FBT003 - it takes no keyword
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    # Else an answer on a connection that is kept waits 40 ms for the client's delayed
    # acknowledgement: asyncio does this itself only for sockets that it made.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _ended(address: str, error: Exception) -> str:
    line = " ".join(str(error).split())[:300]
    return (
        f"the HTTP endpoint at {address} has ended: {type(error).__name__}: {line}: it is tried "
        "again; training goes on"
    )
