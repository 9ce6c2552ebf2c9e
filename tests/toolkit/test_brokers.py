import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hiertk import brokers
from hiertk.brokers import (
    Broker,
    EmbeddedBroker,
    MosquittoBroker,
    find_mosquitto,
    installed_broker,
)
from hiertk_protocol.errors import TransportError
from mqtt_client import PlainClient, wait_until


def accepts(broker: Broker) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", broker.port), timeout=1):
            return True
    except OSError:
        return False


def test_delivers_256_kib_at_qos_1(broker: Broker) -> None:
    payload = random.Random(0).randbytes(256 << 10)
    with PlainClient(broker.url, "echo") as client:
        client.publish("echo", payload)
        message = client.receive()
    assert message.payload == payload
    assert message.qos == 1


def test_keeps_a_retained_message_for_later_subscribers(broker: Broker) -> None:
    with PlainClient(broker.url) as client:
        client.publish("state", b"first", retain=True)
        client.publish("state", b"second", retain=True)
    with PlainClient(broker.url, "state") as later:
        message = later.receive()
    assert (message.payload, message.retain) == (b"second", True)


def test_publishes_the_will_of_a_client_that_vanishes(broker: Broker) -> None:
    with PlainClient(broker.url, "will") as observer:
        with PlainClient(broker.url, will=("will", b"offline")) as client:
            sock = client.paho.socket()
            assert isinstance(sock, socket.socket)
            sock.shutdown(socket.SHUT_RDWR)
        assert observer.receive().payload == b"offline"


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_comes_back_on_the_same_port(broker: Broker, ending: str) -> None:
    url = broker.url
    getattr(broker, ending)()
    wait_until(lambda: not accepts(broker))
    broker.start()
    assert broker.url == url
    with PlainClient(url, "echo") as client:
        client.publish("echo", b"again")
        assert client.receive().payload == b"again"


def test_ending_twice_is_harmless(broker: Broker) -> None:
    broker.stop()
    broker.stop()
    broker.kill()


def test_listens_on_loopback_only(broker: Broker) -> None:
    listening = {
        bytes.fromhex(address)[::-1]
        for address, port in local_sockets_that_listen()
        if port == broker.port
    }
    assert listening == {socket.inet_aton("127.0.0.1")}


def local_sockets_that_listen() -> list[tuple[str, int]]:
    sockets = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A":
                address, port = local.split(":")
                sockets.append((address, int(port, 16)))
    return sockets


def test_refuses_a_port_that_is_taken(broker: Broker, tmp_path: Path) -> None:
    second = EmbeddedBroker(tmp_path / "second")
    second.port = broker.port
    with pytest.raises(TransportError, match="another program listens there"):
        second.start()


def test_a_broker_that_does_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = EmbeddedBroker(tmp_path)
    monkeypatch.setattr(broker, "_config", lambda: "nonsense")
    with pytest.raises(TransportError, match=r"embedded does not start: .+embedded\.log"):
        broker.start()


def test_installed_broker_prefers_mosquitto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers, "find_mosquitto", lambda: "/usr/sbin/mosquitto")
    assert isinstance(installed_broker(tmp_path), MosquittoBroker)
    monkeypatch.setattr(brokers, "find_mosquitto", lambda: None)
    assert isinstance(installed_broker(tmp_path), EmbeddedBroker)
    with pytest.raises(TransportError, match="not installed"):
        MosquittoBroker(tmp_path)


def test_finds_mosquitto_outside_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_mosquitto() is not None


def test_the_embedded_broker_ends_with_its_owner(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib; from hiertk.brokers import EmbeddedBroker\n"
        "broker = EmbeddedBroker(pathlib.Path(sys.argv[1])); broker.start()\n"
        "print(broker.port, flush=True); time.sleep(60)"
    )
    broker = EmbeddedBroker(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        broker.port = int(owner.stdout.readline())
        assert accepts(broker)
        owner.kill()
    wait_until(lambda: not accepts(broker))


def test_a_signal_to_the_terminal_does_not_reach_the_broker(broker: Broker) -> None:
    assert broker._process is not None
    assert os.getsid(broker._process.pid) != os.getsid(0)
