"""A slow link on one machine: a TCP proxy with a rate and a delay in front of a broker.

The rate counts what TCP carries, not the headers below it. It needs no root, unlike `tc`.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.mqtt import parse_broker
from typing_extensions import Self

_HOST = "127.0.0.1"
_BURST_BYTES = 16 << 10
_CHUNK_BYTES = 4 << 10  # with a rate: small, so that messages of two connections interleave
_FAST_CHUNK_BYTES = 64 << 10
_FAST_BYTES_IN_FLIGHT = 4 << 20
_SOCKET_BUFFER_BYTES = 64 << 10  # small, so that the sender feels the rate and not our buffers


class ShapedLink:
    """A link to a broker with a rate, a one-way delay and a switch to cut it.

    broker: the address behind it. up, down: bits per second from the client to the broker and
    back, None for no limit; all connections share them. delay_s: one way, in each direction.
    """

    def __init__(
        self,
        broker: str,
        *,
        up_bits_per_s: float | None = None,
        down_bits_per_s: float | None = None,
        delay_s: float = 0.0,
    ) -> None:
        address = parse_broker(broker)
        self._target = (address.host, address.port)
        self._up = _Direction(up_bits_per_s, delay_s)
        self._down = _Direction(down_bits_per_s, delay_s)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._listener = _bound_socket(0)
        self._port: int = self._listener.getsockname()[1]
        self._listening = False
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address that clients connect to instead of the broker's."""
        return f"mqtt://{_HOST}:{self._port}"

    @property
    def up_bytes(self) -> int:
        """Bytes delivered to the broker so far."""
        return self._up.delivered_bytes

    @property
    def down_bytes(self) -> int:
        """Bytes delivered to clients so far."""
        return self._down.delivered_bytes

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        """Drop all connections and free the port."""
        if self._thread.is_alive():
            self._do(self._drop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._listener.close()

    def cut(self) -> None:
        """Drop all connections and refuse new ones."""
        self._do(self._drop())

    def restore(self) -> None:
        """Accept connections again, at the same address."""
        self._do(self._listen())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        if not self._listening:
            self._listener.listen()
            # Not asyncio's server: one that is closed forgets the connections that it has accepted
            # but not handed over yet, and they stay open.
            self._loop.add_reader(self._listener, self._accept)
            self._listening = True

    async def _drop(self) -> None:
        if self._listening:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            # Bound but not listening: connections are refused, and nobody else takes the port.
            self._listener = _bound_socket(self._port)
            self._listening = False
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        client.settimeout(0)
        connection = self._loop.create_task(self._serve(client))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        # Also when the task is cancelled before its first step, which runs no `finally`.
        connection.add_done_callback(lambda _: client.close())

    async def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):  # no broker: the client sees the connection end
            broker = await self._connect()
            try:
                await asyncio.gather(
                    self._up.carry(client, broker), self._down.carry(broker, client)
                )
            finally:
                broker.close()

    async def _connect(self) -> socket.socket:
        sock = socket.socket()
        _bound_buffers(sock)
        sock.settimeout(0)
        try:
            await self._loop.sock_connect(sock, self._target)
        except BaseException:
            sock.close()
            raise
        return sock


class _Direction:
    """One direction of the link."""

    def __init__(self, bits_per_s: float | None, delay_s: float) -> None:
        if bits_per_s is not None and bits_per_s <= 0:
            raise ConfigError(f"a link of {bits_per_s} bit/s carries nothing: cut it instead")
        self.delivered_bytes = 0
        self._bytes_per_s = bits_per_s / 8 if bits_per_s else None
        self._delay_s = delay_s
        self._chunk_bytes = _CHUNK_BYTES if bits_per_s else _FAST_CHUNK_BYTES
        self._free_at = 0.0

    async def carry(self, source: socket.socket, sink: socket.socket) -> None:
        """Carry one connection's bytes until the source ends; the sink is told of its end.

        What the source sent before it broke still arrives, as on a real link.
        """
        in_flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(self._places())
        sending = asyncio.ensure_future(self._send(source, in_flight))
        try:
            with suppress(OSError):  # the sink is gone; the other direction sees it, too
                await self._deliver(in_flight, sink)
                sink.shutdown(socket.SHUT_WR)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    def _places(self) -> int:
        """Return how many chunks are on their way at once when the link is busy."""
        in_flight = _FAST_BYTES_IN_FLIGHT
        if self._bytes_per_s is not None:
            in_flight = int(self._bytes_per_s * self._delay_s) + _BURST_BYTES
        return in_flight // self._chunk_bytes + 1

    async def _send(
        self, source: socket.socket, in_flight: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # broken: an end like any other
            while chunk := await loop.sock_recv(source, self._chunk_bytes):
                await self._wait_for_tokens(len(chunk))
                await in_flight.put((loop.time() + self._delay_s, chunk))
        await in_flight.put((loop.time() + self._delay_s, b""))

    async def _wait_for_tokens(self, count: int) -> None:
        """Keep a token bucket as the time at which the link is free again."""
        if self._bytes_per_s is None:
            return
        now = asyncio.get_running_loop().time()
        oldest = now - _BURST_BYTES / self._bytes_per_s
        self._free_at = max(self._free_at, oldest) + count / self._bytes_per_s
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)

    async def _deliver(
        self, in_flight: asyncio.Queue[tuple[float, bytes]], sink: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await in_flight.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if not chunk:
                return
            await loop.sock_sendall(sink, chunk)
            self.delivered_bytes += len(chunk)


def _bound_socket(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bound_buffers(sock)
    sock.bind((_HOST, port))
    sock.settimeout(0)
    return sock


def _bound_buffers(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
    # Accepted sockets inherit it. Without it small packets wait for the acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
