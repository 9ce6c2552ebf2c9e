"""The HTTP server: a daemon thread with an event loop of its own, beside the service's threads."""

import asyncio
import socket
import threading
from collections.abc import Sequence

import uvicorn
from fastapi import APIRouter
from hiertk_protocol.errors import ConfigError

from hiertk_cloud.api.app import make_app
from hiertk_cloud.api.connections import BoundedProtocol
from hiertk_cloud.api.events import Broadcaster
from hiertk_cloud.api.frames import FrameMaker
from hiertk_cloud.api.history import History
from hiertk_cloud.config import USABLE_TOKEN, is_loopback
from hiertk_cloud.views.view import ServiceView

_START_S = 10.0
_STOP_S = 0.6
_LAST_STOP_S = 0.3


class ApiServer:
    """API, metrics and dashboard of one service. listen: HOST:PORT, port 0 for any free one.

    token: asked of everybody; None for none, on loopback only. routers: further routes. url: of the
    dashboard, once started.
    """

    url = ""

    def __init__(
        self,
        view: ServiceView,
        listen: str,
        token: str | None,
        history: History,
        *,
        routers: Sequence[APIRouter] = (),
    ) -> None:
        """Check the settings. Raises ConfigError."""
        self._listen = listen
        self._address = _parse(listen)
        _check_token(token, self._address[0])
        self._broadcaster = Broadcaster(FrameMaker(view, history).json)
        app = make_app(view, history, self._broadcaster, token=token, routers=routers)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # warnings are about what anybody may send
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Listen, and answer from now on. Raises ConfigError if the address can't be had."""
        self._socket = _bind(self._listen, *self._address)
        self.url = _url_of(self._socket)
        self._thread.start()
        pause = threading.Event()
        waited = 0.0
        while not self._server.started and self._thread.is_alive() and waited < _START_S:
            pause.wait(0.02)
            waited += 0.02

    def stop(self) -> None:
        """Stop within a second, whoever still watches."""
        if not self._thread.is_alive() or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._begin_stop)
        self._thread.join(_STOP_S)
        self._server.force_exit = True
        self._thread.join(_LAST_STOP_S)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        assert self._socket is not None
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])
        # Forced to stop, uvicorn leaves connections open whose request is not at its end.
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next round

    def _begin_stop(self) -> None:
        self._broadcaster.close()
        self._server.should_exit = True


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _parse(listen: str) -> tuple[str, int]:
    host, separator, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(
            f"listen address {listen!r} is not HOST:PORT: for instance 127.0.0.1:8080"
        )
    return host, int(port)


def _check_token(token: str | None, host: str) -> None:
    if token is None:
        if not is_loopback(host):
            raise ConfigError(
                f"listening on {host} without a token would let anybody in: set a token, or "
                "listen on 127.0.0.1"
            )
    elif not USABLE_TOKEN.fullmatch(token):
        raise ConfigError(
            "the API's token is not usable: take at least 16 letters, digits and signs of ASCII, "
            "drawn at random, without spaces"
        )


def _bind(listen: str, host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listening = socket.create_server(address[:2], family=family)
        # Else an answer on a connection that is kept waits 40 ms for the client's delayed
        # acknowledgement: asyncio does this itself only for sockets that it made.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {listen}: {error.strerror}: free the port or choose another address"
        ) from error
    return listening
