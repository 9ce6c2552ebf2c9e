import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk.brokers import MosquittoBroker, find_mosquitto
from hiertk.link import ShapedLink
from hiertk_edge.spool import Cursor, Spool, SpoolLimits
from hiertk_edge.uplink import Uplink, UplinkLimits
from hiertk_edge.uplink.window import WindowLimits
from hiertk_edge.uplink.wire import packet_bytes
from hiertk_protocol.codec import decode
from hiertk_protocol.errors import TransportError
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from mqtt_client import PlainClient, wait_until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from tiny_cloud import TinyCloud

MANIFEST = make_manifest()
DEPLOYMENT = MANIFEST.deployment
TOPICS = Topics(DEPLOYMENT)
LIMITS = UplinkLimits(window=WindowLimits(first_timeout_s=30), status_every_s=0.2)


class StrictBroker(MosquittoBroker):
    """Mosquitto with other settings than ours."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder)
        self.settings = settings

    def _config(self) -> str:
        lines = [
            line
            for line in super()._config().splitlines()
            if line.partition(" ")[0] not in self.settings
        ]
        return "\n".join([*lines, *(f"{k} {v}" for k, v in self.settings.items())]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    return tmp_path / "strict"


@contextmanager
def open_spool(path: Path, limits: SpoolLimits | None = None) -> Iterator[Spool]:
    opened = Spool(path, bundle_id=MANIFEST.bundle_id, device=DEVICE, limits=limits)
    with closing(opened) as spool:
        yield spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with open_spool(tmp_path / "spool.sqlite") as opened:
        yield opened


@contextmanager
def uplink_at(
    url: str, spool: Spool, limits: UplinkLimits = LIMITS, problems: Problems | None = None
) -> Iterator[Uplink]:
    uplink = Uplink(
        parse_broker(url),
        deployment=DEPLOYMENT,
        device=DEVICE,
        spool=spool,
        limits=limits,
        problems=problems,
    )
    uplink.start()
    try:
        yield uplink
        uplink.check()
    finally:
        uplink.stop(DeviceStatus.OFFLINE)


def cloud_at(url: str, max_message_bytes: int = 0) -> TinyCloud:
    return TinyCloud(url, DEPLOYMENT, DEVICE, max_message_bytes=max_message_bytes)


def put(spool: Spool, count: int, *, samples: int = 2, size: int = 4) -> None:
    for number in range(count):
        message = make_batch(samples, size=size, seed=number)
        message.labels[:] = [index % 3 for index in range(samples)]
        spool.put([message], Cursor())


class Told(list[tuple[str, str]]):
    """What was told of problems, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.problems = Problems(lambda kind, text: self.append((kind, text)))

    def of(self, kind: str) -> list[str]:
        return [text for told, text in self if told == kind]


def test_what_is_counted_is_what_goes_over_the_wire(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    limits = replace(LIMITS, status_every_s=30)
    with (
        ShapedLink(mosquitto.url) as link,
        cloud_at(mosquitto.url),
        uplink_at(link.url, spool, limits) as uplink,
    ):
        wait_until(lambda: uplink.cloud_is_online)
        uplink.report(DeviceStatus(state=DeviceStatus.TRAINING))
        wait_until(lambda: uplink.status().wire_bytes > 0)
        time.sleep(0.3)
        before, carried = uplink.status().wire_bytes, link.up_bytes
        put(spool, 50, samples=20)
        uplink.report(DeviceStatus(state=DeviceStatus.TRAINING))
        assert spool.wait_empty(10)
        wait_until(lambda: uplink.status().sent_total == 50)
        time.sleep(0.3)
        counted = uplink.status().wire_bytes - before
        on_the_wire = link.up_bytes - carried
    assert counted > 50_000
    # The rest are the device's PUBACKs for the cloud's acks.
    assert 0 <= on_the_wire - counted <= 50 * 5


def test_the_rate_limit_holds_and_everything_arrives(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    put(spool, 12, samples=8)
    size = spool.totals.held_bytes
    limits = replace(LIMITS, bytes_per_s=size / 2)
    with cloud_at(mosquitto.url) as cloud, uplink_at(mosquitto.url, spool, limits) as uplink:
        wait_until(lambda: uplink.cloud_is_online)
        started = time.monotonic()
        assert spool.wait_empty(20)
        took = time.monotonic() - started
        assert cloud.received == list(range(1, 13))
        assert uplink.status().wire_bytes <= limits.bytes_per_s * (took + 2)
    assert took > 0.8, "two seconds' worth, less the burst of one"


def test_a_used_up_budget_keeps_features_waiting_and_the_status_rare(
    mosquitto: MosquittoBroker, tmp_path: Path
) -> None:
    told = Told()
    limits = replace(LIMITS, bytes_per_day=6000)
    with cloud_at(mosquitto.url) as cloud:
        with (
            open_spool(tmp_path / "spool") as spool,
            uplink_at(mosquitto.url, spool, limits, told.problems) as uplink,
        ):
            put(spool, 20, samples=8)
            uplink.report(DeviceStatus(state=DeviceStatus.TRAINING))
            wait_until(lambda: bool(told.of("budget")))
            wait_until(lambda: spool.totals.held == 20 - uplink.status().sent_total)
            held = spool.totals.held
            assert 0 < held < 20
            statuses = len(cloud.statuses)
            one, other = DeviceStatus.TRAINING, DeviceStatus.PAUSED
            for step in range(10):
                put(spool, 1)
                uplink.report(DeviceStatus(state=(one, other)[step % 2], edge_step=step))
                time.sleep(0.05)
            assert spool.totals.held == held + 10, "training goes on"
            assert len(cloud.statuses) <= statuses + 1
            assert len(told.of("budget")) == 1
            busy = time.process_time()
            time.sleep(0.5)
            assert time.process_time() - busy < 0.2, "it sleeps meanwhile"
            status = uplink.status()
            assert any("daily budget" in line for line in status.problems)
            assert status.wire_bytes + status.budget_left_bytes == 6000
            with pytest.raises(TransportError, match="daily budget is used up"):
                uplink.ask(bytes(5000), 1)
            received = len(cloud.received)
        with (
            open_spool(tmp_path / "spool") as spool,
            uplink_at(mosquitto.url, spool, limits) as uplink,
        ):
            wait_until(lambda: uplink.cloud_is_online)
            time.sleep(0.3)
            assert len(cloud.received) == received, "a restart brings no new budget"
        with (
            open_spool(tmp_path / "spool") as spool,
            uplink_at(mosquitto.url, spool) as uplink,
        ):
            assert spool.wait_empty(10)
            assert sorted(cloud.batches) == list(range(1, 31)), "nothing is lost"


def test_a_broker_that_takes_less_gets_parts_that_are_exactly_the_message(
    folder: Path, spool: Spool
) -> None:
    put(spool, 1, samples=2)
    put(spool, 1, samples=30)
    put(spool, 1, samples=2)
    whole = spool.next_after(1)
    assert whole is not None
    message = FeatureBatch.FromString(whole.message)
    with (
        StrictBroker(folder, max_packet_size="1200") as broker,
        cloud_at(broker.url) as cloud,
        uplink_at(broker.url, spool) as uplink,
    ):
        assert spool.wait_empty(10)
        assert uplink.max_message_bytes < 1200
        assert uplink.status().dropped_total == 0
    assert cloud.received[:2] == [1, 3], "the parts come after what waited behind it"
    parts = [cloud.batches[seq] for seq in cloud.received[2:]]
    assert len(parts) > 1
    assert [part.seq for part in parts] == list(range(4, 4 + len(parts)))
    assert [label for part in parts for label in part.labels] == list(message.labels)
    values = b"".join(decode(part.features, tuple(part.shape)).values.tobytes() for part in parts)
    assert values == decode(message.features, tuple(message.shape)).values.tobytes()


def test_what_the_cloud_may_have_stored_whole_is_not_sent_in_parts(
    mosquitto: MosquittoBroker, folder: Path, tmp_path: Path
) -> None:
    told = Told()
    path = tmp_path / "spool.sqlite"
    with open_spool(path) as spool:
        put(spool, 1, samples=30)
        silent = TinyCloud(mosquitto.url, DEPLOYMENT, DEVICE, acknowledges=False)
        with silent as cloud, uplink_at(mosquitto.url, spool):
            wait_until(lambda: cloud.received == [1])
        put(spool, 1)
    with (
        open_spool(path) as spool,
        StrictBroker(folder, max_packet_size="1200") as broker,
        cloud_at(broker.url) as cloud,
        uplink_at(broker.url, spool, problems=told.problems) as uplink,
    ):
        assert spool.wait_empty(10)
        assert cloud.received == [2]
        assert uplink.status().dropped_total == 1
    assert "dropped a message of" in told.of("too large")[0]
    assert not told.of("spool full")


def test_no_more_messages_are_unacknowledged_than_the_broker_takes(
    folder: Path, spool: Spool
) -> None:
    put(spool, 30)
    with StrictBroker(folder, max_inflight_messages="3") as broker:
        silent = TinyCloud(broker.url, DEPLOYMENT, DEVICE, acknowledges=False)
        with silent as cloud, uplink_at(broker.url, spool):
            wait_until(lambda: len(cloud.received) >= 3)
            time.sleep(0.3)
            assert cloud.received == [1, 2, 3]


def test_a_cloud_that_takes_larger_messages_gets_them(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    with uplink_at(mosquitto.url, spool) as uplink:
        assert uplink.max_message_bytes == 120 * 1024
        with cloud_at(mosquitto.url, max_message_bytes=1 << 20):
            wait_until(lambda: uplink.cloud_is_online)
        wait_until(lambda: not uplink.cloud_is_online)
        assert uplink.max_message_bytes == 1 << 20, "what it said last holds while it is away"
        put(spool, 1, samples=100, size=32)
        assert spool.totals.held_bytes > 200 * 1024
        with cloud_at(mosquitto.url, max_message_bytes=1 << 20) as cloud:
            assert spool.wait_empty(10)
            assert cloud.received == [1]


def test_a_backlog_of_more_than_a_minute_gets_4_bits(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    with cloud_at(mosquitto.url) as cloud, uplink_at(mosquitto.url, spool) as uplink:
        put(spool, 1)
        uplink.report(DeviceStatus())
        assert spool.wait_empty(10)
        assert uplink.bits == 8
        cloud.acknowledges = False
        put(spool, 100, samples=30)
        uplink.report(DeviceStatus())
        wait_until(lambda: uplink.bits == 4, 10)
        assert uplink.status().bits == 4


def test_a_budget_that_will_not_last_the_day_gets_4_bits(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    put(spool, 10, samples=8)
    limits = replace(LIMITS, bytes_per_day=10 * spool.totals.held_bytes)
    with cloud_at(mosquitto.url), uplink_at(mosquitto.url, spool, limits) as uplink:
        assert spool.wait_empty(10)
        wait_until(lambda: uplink.bits == 4, 10)


def test_a_broker_that_refuses_is_told_once_and_asked_again(folder: Path, spool: Spool) -> None:
    told = Told()
    put(spool, 2)
    broker = StrictBroker(folder, allow_anonymous="false")
    with broker, uplink_at(broker.url, spool, problems=told.problems) as uplink:
        wait_until(lambda: bool(told.of("broker")))
        time.sleep(1.0)  # several attempts are refused meanwhile
        assert len(told.of("broker")) == 1
        assert "refuses the connection" in told.of("broker")[0]
        assert "messages wait" in uplink.status().problems[0]
        broker.kill()
        broker.settings = {}
        broker.start()
        with cloud_at(broker.url):
            assert spool.wait_empty(20)
        assert told.of("broker")[-1] == "connected to the broker again"


def test_a_full_spool_is_a_problem_of_the_status(tmp_path: Path) -> None:
    told = Told()
    down = "mqtt://127.0.0.1:9"
    limits = SpoolLimits(max_bytes=3000)
    with (
        open_spool(tmp_path / "spool", limits) as spool,
        uplink_at(down, spool, problems=told.problems) as uplink,
    ):
        for _ in range(5):
            put(spool, 4, samples=4)
            uplink.report(DeviceStatus())
            time.sleep(0.05)
        wait_until(lambda: bool(told.of("spool full")))
        status = uplink.status()
        assert status.dropped_total == spool.totals.dropped > 0
        assert any("spool is full" in line for line in status.problems)
        assert len(told.of("spool full")) == 1


class Oracle:
    """Answers every prediction request with its own payload turned round, unless it is to wait."""

    def __init__(self, url: str) -> None:
        self.client = PlainClient(url, TOPICS.predict(DEVICE))
        self.answers = True
        self.requests: list[bytes] = []
        self.client.paho.on_message = self._on_message

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.requests.append(bytes(message.payload))
        asked = message.properties
        assert asked is not None
        if self.answers:
            reply = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            reply.CorrelationData = asked.CorrelationData  # type: ignore[attr-defined]
            topic = asked.ResponseTopic  # type: ignore[attr-defined]
            client.publish(topic, message.payload[::-1], qos=1, properties=reply)


@contextmanager
def asking(mosquitto: MosquittoBroker, spool: Spool) -> Iterator[tuple[Uplink, Oracle]]:
    oracle = Oracle(mosquitto.url)
    with (
        oracle.client,
        cloud_at(mosquitto.url),
        uplink_at(mosquitto.url, spool) as uplink,
    ):
        wait_until(lambda: uplink.cloud_is_online)
        yield uplink, oracle


def test_a_request_gets_its_own_reply(mosquitto: MosquittoBroker, spool: Spool) -> None:
    with asking(mosquitto, spool) as (uplink, oracle):
        before = uplink.status().wire_bytes
        replies: dict[bytes, bytes] = {}

        def ask(payload: bytes) -> None:
            replies[payload] = uplink.ask(payload, 10)

        threads = [threading.Thread(target=ask, args=(f"request {n}".encode(),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(replies) == 8
        assert all(reply == payload[::-1] for payload, reply in replies.items())
        assert uplink.status().wire_bytes - before >= 8 * packet_bytes(TOPICS.predict(DEVICE), 9)
        assert len(oracle.requests) == 8


def test_a_request_ends_at_its_deadline_and_a_late_or_forged_reply_is_ignored(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    with asking(mosquitto, spool) as (uplink, oracle):
        oracle.answers = False
        started = time.monotonic()
        with pytest.raises(TransportError, match=r"^no answer within 0\.3 s$"):
            uplink.ask(b"x", 0.3)
        assert 0.3 <= time.monotonic() - started < 2
        oracle.client.publish(TOPICS.predict_reply(DEVICE), b"forged")
        oracle.answers = True
        assert uplink.ask(b"abc", 10) == b"cba"


def test_requests_beyond_eight_are_refused_at_once(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    with asking(mosquitto, spool) as (uplink, oracle), ExitStack() as stack:
        oracle.answers = False

        def ask() -> None:
            with pytest.raises(TransportError, match="no answer within"):
                uplink.ask(b"x", 1.5)

        for _ in range(8):
            thread = threading.Thread(target=ask)
            thread.start()
            stack.callback(thread.join)
        wait_until(lambda: len(oracle.requests) == 8)
        started = time.monotonic()
        with pytest.raises(TransportError, match="8 requests wait"):
            uplink.ask(b"x", 1.5)
        assert time.monotonic() - started < 0.5


def test_a_request_without_a_cloud_fails_at_once_and_one_that_waits_when_it_goes(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    with uplink_at(mosquitto.url, spool) as uplink:
        with pytest.raises(TransportError, match=r"^the cloud is offline$"):
            uplink.ask(b"x", 5)
        reasons: list[str] = []

        def ask() -> None:
            try:
                uplink.ask(b"x", 20)
            except TransportError as error:
                reasons.append(str(error))

        with cloud_at(mosquitto.url):
            wait_until(lambda: uplink.cloud_is_online)
            thread = threading.Thread(target=ask)
            thread.start()
            time.sleep(0.1)
        thread.join(5)
        assert reasons == ["the cloud is offline"]
        assert math.isclose(uplink.status().budget_left_bytes, 0)
