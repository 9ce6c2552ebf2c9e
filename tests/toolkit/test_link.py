import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hiertk.brokers import Broker
from hiertk.link import ShapedLink
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.mqtt import parse_broker
from mqtt_client import PlainClient


class EchoServer:
    """Sends back what it receives on each connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    @staticmethod
    def _echo(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        # Closing alone does not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def server() -> Iterator[EchoServer]:
    echo = EchoServer()
    yield echo
    echo.close()


@contextmanager
def connected(link: ShapedLink) -> Iterator[socket.socket]:
    address = parse_broker(link.url)
    with socket.create_connection((address.host, address.port), timeout=10) as sock:
        yield sock


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        assert chunk, "the connection ended"
        data += chunk
    return data


def seconds_to_echo(sock: socket.socket, count: int) -> float:
    start = time.monotonic()
    threading.Thread(target=sock.sendall, args=(bytes(count),)).start()
    receive_exactly(sock, count)
    return time.monotonic() - start


def test_delivers_every_byte_in_order_and_counts_them(server: EchoServer) -> None:
    data = bytes(range(256)) * 4096
    with ShapedLink(server.url) as link, connected(link) as sock:
        threading.Thread(target=sock.sendall, args=(data,)).start()
        assert receive_exactly(sock, len(data)) == data
        assert link.up_bytes == len(data)
        assert link.down_bytes == pytest.approx(len(data), abs=65536)


def test_passes_on_the_end_of_a_connection(server: EchoServer) -> None:
    with ShapedLink(server.url) as link, connected(link) as sock:
        sock.sendall(b"last")
        sock.shutdown(socket.SHUT_WR)
        assert receive_exactly(sock, 4) == b"last"
        assert sock.recv(1) == b""


def test_what_a_client_sent_before_it_broke_its_connection_still_arrives() -> None:
    reset_at_close = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"mqtt://127.0.0.1:{listener.getsockname()[1]}"
        with ShapedLink(url, delay_s=0.2) as link, connected(link) as sock:
            server, _ = listener.accept()
            sock.sendall(b"farewell")
            time.sleep(0.1)  # on its way through the link, and not yet arrived
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
            sock.close()
            with server:
                assert receive_exactly(server, 8) == b"farewell"
                assert server.recv(1) == b""


@pytest.mark.parametrize("direction", ["up_bits_per_s", "down_bits_per_s"])
def test_carries_at_the_given_rate(server: EchoServer, direction: str) -> None:
    rate = 2e6
    count = int(rate / 8)
    with ShapedLink(server.url, **{direction: rate}) as link, connected(link) as sock:
        seconds = seconds_to_echo(sock, count)
    assert 8 * count / seconds == pytest.approx(rate, rel=0.25)


def test_connections_share_the_rate(server: EchoServer) -> None:
    rate = 4e6
    count = int(rate / 8 / 2)
    seconds: list[float] = []
    with (
        ShapedLink(server.url, up_bits_per_s=rate) as link,
        connected(link) as first,
        connected(link) as second,
    ):
        threads = [
            threading.Thread(target=lambda sock=sock: seconds.append(seconds_to_echo(sock, count)))
            for sock in (first, second)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(seconds) == pytest.approx(1.0, rel=0.25)


def test_delays_each_direction_without_slowing_the_transfer(server: EchoServer) -> None:
    delay_s = 0.15
    with ShapedLink(server.url, delay_s=delay_s) as link, connected(link) as sock:
        assert seconds_to_echo(sock, 1) == pytest.approx(2 * delay_s, abs=0.1)
        assert seconds_to_echo(sock, 1 << 20) < 2 * delay_s + 0.5


def test_a_slow_link_pushes_back_on_its_sender(server: EchoServer) -> None:
    with ShapedLink(server.url, up_bits_per_s=1e5) as link, connected(link) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        sock.settimeout(0)
        accepted = 0
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                accepted += sock.send(bytes(65536))
            time.sleep(0.001)
        assert accepted < 1 << 20


def test_a_cut_link_drops_connections_and_refuses_new_ones(server: EchoServer) -> None:
    with ShapedLink(server.url, delay_s=0.05) as link, connected(link) as sock:
        seconds_to_echo(sock, 10)
        link.cut()
        with pytest.raises((ConnectionError, AssertionError)):
            receive_exactly(sock, 1)
        with pytest.raises(ConnectionRefusedError), connected(link):
            pass


def test_no_connection_survives_a_cut_however_new_it_is(server: EchoServer) -> None:
    for _ in range(10):
        with ShapedLink(server.url) as link:
            address = parse_broker(link.url)
            # Some of them are still on their way through asyncio when the link is cut.
            sockets = [
                socket.create_connection((address.host, address.port), timeout=5) for _ in range(20)
            ]
            link.cut()
            for sock in sockets:
                with sock, suppress(ConnectionError):
                    assert sock.recv(1) == b""


def test_a_restored_link_carries_again_at_the_same_address(server: EchoServer) -> None:
    with ShapedLink(server.url) as link:
        url = link.url
        for _ in range(3):
            link.cut()
            link.restore()
            with connected(link) as sock:
                seconds_to_echo(sock, 10)
        assert link.url == url


def test_cutting_and_restoring_twice_is_harmless(server: EchoServer) -> None:
    with ShapedLink(server.url) as link:
        link.cut()
        link.cut()
        link.restore()
        link.restore()
        with connected(link) as sock:
            seconds_to_echo(sock, 10)


def test_ends_connections_when_the_broker_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"mqtt://127.0.0.1:{gone.getsockname()[1]}"
    with (
        ShapedLink(url) as link,
        connected(link) as sock,
        pytest.raises((ConnectionError, AssertionError)),
    ):
        receive_exactly(sock, 1)


def test_a_rate_of_zero_is_refused(server: EchoServer) -> None:
    with pytest.raises(ConfigError, match="carries nothing"):
        ShapedLink(server.url, up_bits_per_s=0)


def test_carries_mqtt(broker: Broker) -> None:
    with (
        ShapedLink(broker.url, up_bits_per_s=5e6, down_bits_per_s=5e6, delay_s=0.02) as link,
        PlainClient(link.url, "echo") as client,
    ):
        client.publish("echo", bytes(64 << 10))
        assert client.receive().payload == bytes(64 << 10)
