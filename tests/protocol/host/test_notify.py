"""What systemd is told, over a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hiertk_protocol.host.notify import Notifier


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        yield listening


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_each_word_is_a_datagram(listener: socket.socket, kind: str, tmp_path: Path) -> None:
    name = f"{tmp_path}/notify" if kind == "path" else f"@hiertk-test-{os.getpid()}"
    listener.bind(name.replace("@", "\0", 1))
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.status("cloud step 7,\n  queue 3")
    notifier.watchdog()
    notifier.stopping()
    received = [listener.recv(4096) for _ in range(4)]
    assert received == [
        b"READY=1", b"STATUS=cloud step 7, queue 3", b"WATCHDOG=1", b"STOPPING=1",
    ]  # fmt: skip


def test_while_it_starts_each_sign_of_life_gives_it_more_time(
    listener: socket.socket, tmp_path: Path
) -> None:
    listener.bind(f"{tmp_path}/notify")
    notifier = Notifier({"NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "60000000"})
    notifier.watchdog()
    notifier.ready()
    notifier.watchdog()
    received = [listener.recv(4096) for _ in range(3)]
    assert received == [b"EXTEND_TIMEOUT_USEC=60000000", b"READY=1", b"WATCHDOG=1"]


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "/no/such/socket"])
def test_without_systemd_nothing_happens(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.watchdog()


def test_a_systemd_that_does_not_read_does_not_hold_the_service_up(
    listener: socket.socket, tmp_path: Path
) -> None:
    listener.bind(f"{tmp_path}/notify")
    notifier = Notifier({"NOTIFY_SOCKET": f"{tmp_path}/notify"})
    for _ in range(1000):  # more than a socket's queue holds
        notifier.watchdog()
    assert listener.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_watches_the_process_that_systemd_names(
    variables: dict[str, str], seconds: float | None
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/notify", **variables}).watchdog_s == seconds
    assert Notifier(variables).watchdog_s is None
