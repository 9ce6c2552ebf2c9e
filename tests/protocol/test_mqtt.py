import contextlib
import queue
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hiertk.brokers import Broker, free_port
from hiertk.link import ShapedLink
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.mqtt import BrokerAddress, Handlers, MqttLink, Will, parse_broker
from hypothesis import given
from hypothesis import strategies as st
from mqtt_client import PATIENCE_S, PlainClient, wait_until

# Addresses


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://cloud", BrokerAddress("cloud", 1883, tls=False)),
        ("mqtts://cloud", BrokerAddress("cloud", 8883, tls=True)),
        ("mqtt://127.0.0.1:2000/", BrokerAddress("127.0.0.1", 2000, tls=False)),
        ("mqtts://[::1]:2000", BrokerAddress("::1", 2000, tls=True)),
    ],
)
def test_an_address_is_parsed_and_printed_back(url: str, address: BrokerAddress) -> None:
    assert parse_broker(url) == address
    assert parse_broker(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        *("", "cloud", "cloud:1883", "http://cloud", "mqtt://", "mqtt:///x", "mqtt://cloud/topic"),
        *("mqtt://cloud:0", "mqtt://cloud:65536", "mqtt://cloud:x", "mqtt://[::1", "mqtt://:1883"),
        *("mqtt://cloud?x=1", "mqtt://cloud#x"),
    ],
)
def test_what_is_no_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=r"write mqtt://HOST"):
        parse_broker(url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="password") as caught:
        parse_broker("mqtt://user:secret@cloud")
    assert "secret" not in str(caught.value)


@given(st.one_of(st.text(max_size=40), st.text(max_size=40).map("mqtt://".__add__)))
def test_any_text_is_an_address_or_refused(url: str) -> None:
    with contextlib.suppress(ConfigError):
        assert 0 < parse_broker(url).port < 65536


# The link


class Owner:
    """Owns a link and records what the link reports."""

    def __init__(self, url: str, *topics: str, client_id: str | None = None) -> None:
        self.ups = 0
        self.downs: list[str] = []
        self.received: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.link = MqttLink(
            parse_broker(url),
            client_id=client_id or f"owner-{uuid.uuid4().hex[:8]}",
            subscriptions=topics or ("unused",),
            will=Will("will", b"offline"),
            handlers=Handlers(
                message=lambda incoming: self.received.put((incoming.topic, incoming.payload)),
                up=self._count_up,
                down=self.downs.append,
            ),
            max_message_bytes=1 << 20,
        )

    def _count_up(self) -> None:
        self.ups += 1

    def __enter__(self) -> "Owner":  # noqa: PYI034 - never subclassed
        self.link.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.link.stop()


def test_comes_up_and_carries_messages_both_ways(broker: Broker) -> None:
    payload = random.Random(1).randbytes(120 << 10)
    with PlainClient(broker.url, "from/device") as other, Owner(broker.url, "to/device") as owner:
        wait_until(lambda: owner.link.is_up)
        assert owner.link.publish("from/device", payload) is not None
        assert other.receive().payload == payload
        other.publish("to/device", payload)
        assert owner.received.get(timeout=PATIENCE_S) == ("to/device", payload)
    assert (owner.ups, owner.downs) == (1, [])


def test_many_messages_from_several_threads_arrive_whole(broker: Broker) -> None:
    count = 60
    with (
        PlainClient(broker.url, "from/device") as other,
        ShapedLink(broker.url, up_bits_per_s=20e6) as slow,
        Owner(slow.url) as owner,
    ):
        wait_until(lambda: owner.link.is_up)

        def publish(thread: int) -> None:
            for index in range(count):
                owner.link.publish("from/device", bytes([thread, index]) * 5000)

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        received = {bytes(other.receive().payload) for _ in range(3 * count)}
    assert received == {
        bytes([thread, index]) * 5000 for thread in range(3) for index in range(count)
    }
    assert owner.downs == []


def test_publishing_while_the_link_is_down_queues_nothing(broker: Broker) -> None:
    owner = Owner(broker.url)
    assert not owner.link.is_up
    assert owner.link.publish("from/device", b"too early") is None


def test_comes_back_after_the_broker_was_killed(broker: Broker) -> None:
    with Owner(broker.url, "to/device") as owner:
        wait_until(lambda: owner.ups == 1)
        broker.kill()
        wait_until(lambda: not owner.link.is_up)
        assert owner.link.publish("from/device", b"lost") is None
        broker.start()
        wait_until(lambda: owner.ups == 2)
        with PlainClient(broker.url) as other:
            other.publish("to/device", b"again")
        assert owner.received.get(timeout=PATIENCE_S) == ("to/device", b"again")
    assert len(owner.downs) == 1


def test_an_outage_is_reported_once_however_long_it_takes(broker: Broker) -> None:
    with ShapedLink(broker.url) as link, Owner(link.url) as owner:
        for _ in range(2):
            wait_until(lambda: owner.link.is_up)
            link.cut()
            wait_until(lambda: not owner.link.is_up)
            time.sleep(1.0)  # several attempts fail meanwhile
            link.restore()
        wait_until(lambda: owner.ups == 3)
    assert len(owner.downs) == 2
    assert all(link.url in reason for reason in owner.downs)


def test_a_broker_that_was_never_there_is_reported_once() -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    with Owner(url) as owner:
        time.sleep(1.0)
    assert len(owner.downs) == 1
    assert f"{url} cannot be reached" in owner.downs[0]


def test_a_clean_stop_publishes_the_last_words_and_not_the_will(broker: Broker) -> None:
    with PlainClient(broker.url, "will") as observer, Owner(broker.url) as owner:
        wait_until(lambda: owner.link.is_up)
        owner.link.stop(last_words=Will("will", b"finished"))
        assert observer.receive().payload == b"finished"
        observer.publish("will", b"nothing in between")
        assert observer.receive().payload == b"nothing in between"
    with PlainClient(broker.url, "will") as later:
        assert later.receive().payload == b"finished"
    assert owner.downs == []


def test_the_will_is_published_when_the_process_dies(broker: Broker) -> None:
    script = Path(__file__).with_name("link_process.py")
    with PlainClient(broker.url, "will") as observer:
        with subprocess.Popen(
            [sys.executable, script, broker.url, "will"], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.kill()
        assert observer.receive().payload == b"offline"
    with PlainClient(broker.url, "will") as later:
        message = later.receive()
    assert (message.payload, message.retain) == (b"offline", True)


def test_a_second_client_of_the_same_name_is_reported(broker: Broker) -> None:
    with Owner(broker.url, client_id="twin") as first:
        wait_until(lambda: first.link.is_up)
        with Owner(broker.url, client_id="twin"):
            wait_until(lambda: len(first.downs) > 0)


def test_stops_at_once_while_it_waits_to_try_again() -> None:
    owner = Owner(f"mqtt://127.0.0.1:{free_port()}")
    owner.link.start()
    wait_until(lambda: len(owner.downs) == 1)
    start = time.monotonic()
    owner.link.stop()
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("wait_s", [0.0, 0.001, 0.003, 0.01, 0.03])
def test_a_stop_during_the_connection_leaves_nothing_running(broker: Broker, wait_s: float) -> None:
    with Owner(broker.url) as owner:
        time.sleep(wait_s)
        start = time.monotonic()
        owner.link.stop()
        assert time.monotonic() - start < 3
        assert not owner.link.is_up


# Refusals: the real brokers here refuse nobody, so a few bytes of MQTT 5 stand in for one that does

ACCEPTED = b"\x20\x03\x00\x00\x00"
NOT_AUTHORIZED = b"\x20\x03\x00\x87\x00"
SUBSCRIPTION_NOT_AUTHORIZED = b"\x90\x04\x00\x01\x00\x87"
BROKER_SHUTS_DOWN = b"\xe0\x02\x8b\x00"


@contextlib.contextmanager
def scripted_broker(*answers: bytes) -> Iterator[str]:
    """Give each connection one answer to each of its packets, then hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_connections, args=(listener, answers), daemon=True).start()
        yield f"mqtt://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def answer_connections(listener: socket.socket, answers: Sequence[bytes]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE_S)
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)
                time.sleep(0.05)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([NOT_AUTHORIZED], "refuses the connection: Not authorized"),
        ([ACCEPTED, SUBSCRIPTION_NOT_AUTHORIZED], "refuses a subscription: Not authorized"),
        ([ACCEPTED, BROKER_SHUTS_DOWN], "ended the connection: Server shutting down"),
        ([b""], "went away"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "went away"),
    ],
)
def test_a_refusal_is_reported_once_with_its_reason(answers: list[bytes], reason: str) -> None:
    with scripted_broker(*answers) as url, Owner(url) as owner:
        wait_until(lambda: len(owner.downs) == 1)
        time.sleep(0.7)  # several attempts are refused meanwhile
        assert not owner.link.is_up
    assert len(owner.downs) == 1
    assert reason in owner.downs[0]
    assert url in owner.downs[0]


def test_a_refusal_after_an_outage_is_reported_too(broker: Broker) -> None:
    with Owner(broker.url) as owner:
        wait_until(lambda: owner.link.is_up)
        broker.kill()
        wait_until(lambda: len(owner.downs) == 1)
        with socket.create_server(("127.0.0.1", broker.port)) as listener:
            threading.Thread(
                target=answer_connections, args=(listener, [NOT_AUTHORIZED]), daemon=True
            ).start()
            wait_until(lambda: len(owner.downs) == 2)
            listener.shutdown(socket.SHUT_RDWR)
    assert "refuses the connection" in owner.downs[1]
