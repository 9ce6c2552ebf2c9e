import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk.brokers import Broker, MosquittoBroker
from hiertk_edge.spool import Cursor, Spool
from hiertk_edge.uplink import Uplink, UplinkLimits
from hiertk_edge.uplink.inbox import Event
from hiertk_edge.uplink.window import WindowLimits
from hiertk_protocol.errors import StorageError
from hiertk_protocol.hiertk_pb2 import Ack, DeviceStatus, Refusal
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from mqtt_client import PlainClient, wait_until
from tiny_cloud import TinyCloud

MANIFEST = make_manifest()
DEPLOYMENT = MANIFEST.deployment
TOPICS = Topics(DEPLOYMENT)
PATIENT = WindowLimits(first_timeout_s=30)


def cloud_at(broker: Broker, **settings: object) -> TinyCloud:
    return TinyCloud(broker.url, DEPLOYMENT, DEVICE, **settings)  # type: ignore[arg-type]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    path = tmp_path / "spool.sqlite"
    with closing(Spool(path, bundle_id=MANIFEST.bundle_id, device=DEVICE)) as opened:
        yield opened


@contextmanager
def uplink_of(
    spool: Spool, broker: Broker, window: WindowLimits = PATIENT, first: Sequence[Event] = ()
) -> Iterator[Uplink]:
    uplink = Uplink(
        parse_broker(broker.url),
        deployment=DEPLOYMENT,
        device=DEVICE,
        spool=spool,
        limits=UplinkLimits(window=window, status_every_s=0.2),
    )
    for event in first:
        uplink._inbox.put(event)
    uplink.start()
    try:
        yield uplink
        uplink.check()
    finally:
        uplink.stop(DeviceStatus.OFFLINE)


def put(spool: Spool, count: int, *, size: int = 4) -> None:
    for _ in range(count):
        spool.put([make_batch(size=size)], Cursor())


def test_what_waits_is_sent_in_order_and_leaves_the_spool_on_the_ack(
    broker: Broker, spool: Spool
) -> None:
    put(spool, 100)
    with cloud_at(broker) as cloud, uplink_of(spool, broker) as uplink:
        assert spool.wait_empty(10)
        assert cloud.received == list(range(1, 101))
        floors = [cloud.batches[seq].floor for seq in range(1, 101)]
        assert floors == sorted(floors)
        assert all(1 <= floor <= seq for seq, floor in enumerate(floors, 1))
        assert uplink.status().sent_total == 100


def test_nothing_is_sent_while_the_cloud_is_offline(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    put(spool, 3)
    topic = TOPICS.features(DEVICE)
    with uplink_of(spool, mosquitto), PlainClient(mosquitto.url, topic) as listener:
        time.sleep(0.3)
        assert listener._received.empty()
        with cloud_at(mosquitto):
            assert spool.wait_empty(5)


def test_a_put_is_on_its_way_within_50_ms(mosquitto: MosquittoBroker, spool: Spool) -> None:
    with cloud_at(mosquitto) as cloud, uplink_of(spool, mosquitto) as uplink:
        wait_until(lambda: uplink.cloud_is_online)
        waits = []
        for number in range(1, 12):
            started = time.perf_counter()
            put(spool, 1)
            uplink.report(DeviceStatus(edge_step=number))
            while len(cloud.received) < number:
                time.sleep(0.001)
            waits.append(time.perf_counter() - started)
            assert spool.wait_empty(5)
        assert sorted(waits)[len(waits) // 2] < 0.05, (
            "the way there and the machine's load included"
        )


def test_no_more_than_the_window_is_unacknowledged(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    put(spool, 30)
    window = WindowLimits(messages=5, first_timeout_s=30)
    with (
        cloud_at(mosquitto, acknowledges=False) as cloud,
        uplink_of(spool, mosquitto, window),
    ):
        wait_until(lambda: len(cloud.received) >= 5)
        time.sleep(0.2)
        assert cloud.received == [1, 2, 3, 4, 5]
        cloud.acknowledge(Ack(epoch=spool.epoch, through=2))
        wait_until(lambda: len(cloud.received) >= 7)
        time.sleep(0.1)
        assert cloud.received == [1, 2, 3, 4, 5, 6, 7]
        assert spool.floor == 3


def test_the_window_counts_bytes_too(mosquitto: MosquittoBroker, spool: Spool) -> None:
    put(spool, 6, size=32)
    size = spool.totals.held_bytes // 6 + 20
    window = WindowLimits(bytes=3 * size, first_timeout_s=30)
    with (
        cloud_at(mosquitto, acknowledges=False) as cloud,
        uplink_of(spool, mosquitto, window),
    ):
        wait_until(lambda: len(cloud.received) >= 3)
        time.sleep(0.2)
        assert cloud.received == [1, 2, 3]


def test_what_is_not_acknowledged_in_time_is_sent_again(
    mosquitto: MosquittoBroker, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    put(spool, 2)
    window = WindowLimits(first_timeout_s=0.2, last_timeout_s=0.4)
    with (
        cloud_at(mosquitto, acknowledges=False) as cloud,
        uplink_of(spool, mosquitto, window),
    ):
        wait_until(lambda: len(cloud.received) >= 6)
        assert cloud.received[:6] == [1, 2] * 3
        cloud.acknowledges = True
        assert spool.wait_empty(5)
    assert sum("acknowledges nothing" in record.message for record in caplog.records) == 1


def test_a_restarted_cloud_gets_again_at_once_what_it_lost(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    put(spool, 4)
    with cloud_at(mosquitto, acknowledges=False) as cloud, uplink_of(spool, mosquitto):
        wait_until(lambda: len(cloud.received) == 4)
        cloud.restart(acknowledges=True)
        assert spool.wait_empty(5)
        assert sorted(cloud.batches) == [1, 2, 3, 4]


def test_a_killed_broker_loses_nothing(mosquitto: MosquittoBroker, spool: Spool) -> None:
    put(spool, 5)
    with cloud_at(mosquitto) as cloud, uplink_of(spool, mosquitto) as uplink:
        assert spool.wait_empty(5)
        mosquitto.kill()
        wait_until(lambda: not uplink.cloud_is_online)
        put(spool, 5)
        uplink.report(DeviceStatus())
        time.sleep(0.2)
        assert spool.totals.held == 5
        mosquitto.start()
        assert spool.wait_empty(15)
        assert sorted(cloud.batches) == list(range(1, 11))


def test_a_message_too_large_for_the_cloud_is_dropped_and_the_rest_arrives(
    mosquitto: MosquittoBroker, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    put(spool, 1)
    put(spool, 1, size=32)
    put(spool, 1)
    with (
        cloud_at(mosquitto, max_message_bytes=1000) as cloud,
        uplink_of(spool, mosquitto) as uplink,
    ):
        assert spool.wait_empty(5)
        assert sorted(cloud.batches) == [1, 3]
        assert uplink.status().dropped_total == 1
        assert uplink.max_message_bytes == 1000
    assert "the link takes up to 1000" in caplog.text


def test_refused_messages_are_counted_and_each_reason_is_told_once(
    mosquitto: MosquittoBroker, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    put(spool, 6)
    with (
        cloud_at(mosquitto, refused=dict.fromkeys((2, 3, 5), "wrong shape")) as cloud,
        uplink_of(spool, mosquitto) as uplink,
    ):
        assert spool.wait_empty(5)
        assert sorted(cloud.batches) == [1, 4, 6]
        assert uplink.status().refused_total == 3
    assert caplog.text.count("wrong shape") == 1


def test_forged_and_broken_messages_change_nothing(
    mosquitto: MosquittoBroker, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    put(spool, 2)
    largest = (1 << 64) - 1
    forged = [
        Ack(epoch=spool.epoch ^ 1, through=2).SerializeToString(),
        Ack(epoch=spool.epoch, beyond=[largest]).SerializeToString(),
        Ack(
            epoch=spool.epoch, beyond=[3], refused=[Refusal(seq=3, reason="x")]
        ).SerializeToString(),
        b"\xff\xff no message",
        b"",
    ]
    with (
        cloud_at(mosquitto, acknowledges=False) as cloud,
        uplink_of(spool, mosquitto),
        PlainClient(mosquitto.url) as forger,
    ):
        wait_until(lambda: len(cloud.received) == 2)
        for payload in forged * 3:
            forger.publish(TOPICS.ack(DEVICE), payload)
        forger.publish(TOPICS.model, b"\xff\xff", retain=True)
        forger.publish(TOPICS.model, b"\x08\x09")  # an unknown state
        time.sleep(0.2)
        assert spool.totals.held == 2
        cloud.acknowledge(Ack(epoch=spool.epoch, through=2))
        assert spool.wait_empty(5)
    assert caplog.text.count("another spool") == 1


def test_what_the_cloud_settled_before_a_power_cut_is_not_waited_for(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    put(spool, 2)  # made again: the cloud had 5 of them
    with cloud_at(mosquitto, acknowledges=False) as cloud, uplink_of(spool, mosquitto):
        wait_until(lambda: len(cloud.received) == 2)
        cloud.acknowledge(Ack(epoch=spool.epoch, through=5))
        assert spool.wait_empty(5)
        assert spool.floor == 3


def test_the_status_is_retained_and_says_what_spool_and_uplink_count(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    put(spool, 3)
    with cloud_at(mosquitto) as cloud, uplink_of(spool, mosquitto) as uplink:
        uplink.report(DeviceStatus(state=DeviceStatus.TRAINING, edge_step=3))
        wait_until(lambda: any(s.edge_step == 3 and s.sent_total == 3 for s in cloud.statuses))
        assert spool.wait_empty(5)
        uplink.report(DeviceStatus(state=DeviceStatus.DRAINING, edge_step=3))
        wait_until(lambda: cloud.statuses[-1].state == DeviceStatus.DRAINING, 1)
    with PlainClient(mosquitto.url, TOPICS.status(DEVICE)) as late:
        last = DeviceStatus.FromString(late.receive().payload)
    assert last.state == DeviceStatus.OFFLINE
    assert (last.samples_total, last.spooled_total, last.sent_total) == (6, 3, 3)


def test_no_status_is_published_before_the_trainer_has_one(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    with cloud_at(mosquitto) as cloud, uplink_of(spool, mosquitto) as uplink:
        put(spool, 1)
        assert spool.wait_empty(10)
        time.sleep(0.5)
        assert not cloud.statuses
        uplink.report(DeviceStatus(state=DeviceStatus.TRAINING))
        wait_until(lambda: bool(cloud.statuses))
        assert cloud.statuses[0].state == DeviceStatus.TRAINING


def test_an_unchanged_status_is_not_published_again(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    with cloud_at(mosquitto) as cloud, uplink_of(spool, mosquitto) as uplink:
        uplink.report(DeviceStatus(state=DeviceStatus.TRAINING))
        wait_until(lambda: bool(cloud.statuses))
        time.sleep(0.3)
        before = len(cloud.statuses)
        time.sleep(0.7)
        assert len(cloud.statuses) == before


def test_an_unreachable_broker_is_one_warning(
    tmp_path: Path, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    down = MosquittoBroker(tmp_path / "never-started")
    put(spool, 2)
    with caplog.at_level(logging.WARNING), uplink_of(spool, down):
        wait_until(lambda: "cannot be reached" in caplog.text)
        time.sleep(1.0)
    assert caplog.text.count("training goes on, messages wait") == 1


def test_a_spool_that_cannot_be_read_is_told_once_and_read_again(
    mosquitto: MosquittoBroker, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    with cloud_at(mosquitto), uplink_of(spool, mosquitto) as uplink:
        wait_until(lambda: uplink.cloud_is_online)
        put(spool, 3)
        spool._database.execute("PRAGMA query_only = ON")  # as a disk that turned read-only
        uplink.report(DeviceStatus())
        wait_until(lambda: "readonly" in caplog.text)
        wait_until(lambda: any("readonly" in line for line in uplink.status().problems))
        spool._database.execute("PRAGMA query_only = OFF")
        assert spool.wait_empty(10)
        wait_until(lambda: "can be read again" in caplog.text)
    assert caplog.text.count("readonly") == 1


def test_what_comes_in_beside_a_fault_of_the_storage_is_handled(
    mosquitto: MosquittoBroker, spool: Spool
) -> None:
    handled = []

    def meets_a_full_disk() -> None:
        raise StorageError("the disk is full")

    first = [meets_a_full_disk, lambda: handled.append("next")]
    with uplink_of(spool, mosquitto, first=first) as uplink:
        wait_until(lambda: handled == ["next"])
        wait_until(lambda: any("the disk is full" in line for line in uplink.status().problems))
