"""Ingest: stored, refused with a reason, or left without an answer; and alive afterwards."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cloud_service.cloud_parts import DEVICE, EPOCH, MANIFEST, SHAPE, make_manifest, make_message
from hiertk_cloud.ingest import judge
from hiertk_cloud.ingest.ingest import Ingest, Room
from hiertk_cloud.ingest.limits import Limits
from hiertk_cloud.log import DurableLog, LogReader
from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.hiertk_pb2 import Ack, FeatureBatch
from hiertk_protocol.messages import parse_ack
from hiertk_protocol.topics import Topics
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOPICS = Topics(MANIFEST.deployment)


class Intake:
    """An ingest on a real log, with what it publishes and tells."""

    def __init__(
        self, folder: Path, limits: Limits | None = None, room: Room | None = None
    ) -> None:
        self.log_file = folder / "log.sqlite"
        self.log = DurableLog(self.log_file, MANIFEST.bundle_id)
        self.reader = LogReader(self.log_file)
        self.acks: list[tuple[str, Ack]] = []
        self.stored_when_acked: list[int] = []
        self.told: list[tuple[str, str]] = []
        self.ingest = Ingest(
            self.log, MANIFEST, publish=self._publish, tell=self._tell, limits=limits, room=room
        )

    def take(self, *messages: FeatureBatch) -> None:
        for message in messages:
            self.ingest.receive(TOPICS.features(message.device), message.SerializeToString())
        self.ingest.turn()

    def close(self) -> None:
        self.reader.close()
        self.log.close()

    def _publish(self, topic: str, payload: bytes) -> None:
        with closing(sqlite3.connect(self.log_file)) as database:
            (stored,) = database.execute("SELECT count(*) FROM messages").fetchone()
        self.stored_when_acked.append(stored)
        self.acks.append((topic, parse_ack(payload)))

    def _tell(self, kind: str, text: str) -> None:
        self.told.append((kind, text))


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    opened = Intake(tmp_path)
    yield opened
    opened.close()


def test_a_batch_is_in_the_log_before_it_is_acknowledged(intake: Intake) -> None:
    intake.take(make_message(1))
    assert intake.acks == [(TOPICS.ack(DEVICE), Ack(epoch=EPOCH, through=1))]
    assert intake.stored_when_acked == [1]
    assert intake.log.give_turns() == 1
    entry = intake.reader.at_turn(1)
    assert entry is not None
    assert entry.message == make_message(1).SerializeToString()


def test_a_group_gives_one_ack_per_device(intake: Intake) -> None:
    intake.take(*(make_message(seq, device=device) for seq in (1, 2) for device in ("a", "b")))
    assert intake.acks == [
        (TOPICS.ack("a"), Ack(epoch=EPOCH, through=2)),
        (TOPICS.ack("b"), Ack(epoch=EPOCH, through=2)),
    ]


def of_another_bundle(message: FeatureBatch) -> None:
    message.bundle_id = make_manifest(split=2).bundle_id


def of_another_shape(message: FeatureBatch) -> None:
    message.shape[2] = 5


def beyond_the_slots(message: FeatureBatch) -> None:
    message.labels[0] = 8


def of_a_free_slot(message: FeatureBatch) -> None:
    message.labels[0] = 3


def without_labels(message: FeatureBatch) -> None:
    message.labels.clear()


def with_a_damaged_payload(message: FeatureBatch) -> None:
    message.features.payload = message.features.payload[:-1]


def with_an_impossible_floor(message: FeatureBatch) -> None:
    message.floor = 7


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (of_another_bundle, "made with bundle"),
        (of_another_shape, "shape"),
        (beyond_the_slots, "labels name slot 8 of 8"),
        (of_a_free_slot, "label 3 has no class in class map 1"),
        (without_labels, "0 labels for 8 samples"),
        (with_a_damaged_payload, "payload"),
        (with_an_impossible_floor, "floor 7"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_with_the_reason(
    intake: Intake, spoil: Callable[[FeatureBatch], None], reason: str
) -> None:
    message = make_message(1)
    spoil(message)
    intake.take(message)
    ((topic, ack),) = intake.acks
    assert topic == TOPICS.ack(DEVICE)
    assert (ack.through, ack.refused[0].seq) == (1, 1)
    assert reason in ack.refused[0].reason
    intake.take(make_message(2))
    assert intake.acks[-1][1] == Ack(epoch=EPOCH, through=2)
    assert intake.log.totals.stored == 1


def test_few_bytes_that_unpack_to_too_much_are_refused(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "MAX_BATCH_VALUES", 1 << 14)
    samples = 4096
    bomb = make_message(1)
    bomb.features.CopyFrom(encode(quantize(np.zeros((samples, *SHAPE), np.float32), 8)))
    bomb.shape[0] = samples
    bomb.labels[:] = [0] * samples
    bomb.early_exit[:] = [0] * samples
    intake.take(bomb)
    assert "262144 values, more than the 16384" in intake.acks[0][1].refused[0].reason


def test_nobody_is_answered_for_a_message_in_anothers_name(intake: Intake) -> None:
    intake.ingest.receive(TOPICS.features("thief"), make_message(1).SerializeToString())
    intake.ingest.turn()
    assert intake.acks == []
    assert intake.ingest.dropped_total == 1
    assert "thief sends in the name of pi-1" in intake.told[0][1]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (TOPICS.features(DEVICE), b"\xff" * 100),
        (TOPICS.features(DEVICE), b""),
        (TOPICS.features(DEVICE), bytes(Limits().payload_bytes + 1)),
        ("hiertk/v1/another/pi-1/up/features", make_message(1).SerializeToString()),
        (f"{TOPICS.root}/\x1b[31m/up/features", make_message(1).SerializeToString()),
    ],
)
def test_what_has_no_key_is_dropped_and_counted(intake: Intake, topic: str, payload: bytes) -> None:
    intake.ingest.receive(topic, payload)
    intake.ingest.turn()
    assert (intake.acks, intake.ingest.dropped_total) == ([], 1)
    assert "\x1b" not in intake.told[0][1]
    intake.take(make_message(1))
    assert intake.acks[0][1].through == 1


def test_more_than_the_queue_holds_is_dropped_and_not_acknowledged(intake: Intake) -> None:
    for seq in range(1, 301):
        intake.ingest.receive(TOPICS.features(DEVICE), make_message(seq).SerializeToString())
    for _ in range(5):
        intake.ingest.turn()
    assert intake.acks[-1][1].through == 256
    assert intake.ingest.dropped_total == 44


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.integers(0, make_message(1).ByteSize() - 1),
    replacement=st.binary(min_size=1, max_size=8),
    cut=st.booleans(),
)
def test_no_damaged_message_ends_the_ingest(
    intake: Intake, position: int, replacement: bytes, cut: bool
) -> None:
    payload = make_message(1).SerializeToString()
    rest = b"" if cut else payload[position + len(replacement) :]
    intake.ingest.receive(TOPICS.features(DEVICE), payload[:position] + replacement + rest)
    intake.ingest.turn()


def test_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room(intake: Intake) -> None:
    intake.take(make_message(1))
    intake.log._database.execute("PRAGMA max_page_count = 1")
    large = [make_message(seq, samples=256) for seq in range(2, 6)]
    intake.take(*large)
    intake.take(*large)
    assert [ack.through for _, ack in intake.acks] == [1]
    assert [kind for kind, _ in intake.told] == ["disk"]
    assert "training goes on" in intake.told[0][1]
    intake.log._database.execute("PRAGMA max_page_count = 1000000")
    intake.take(*large)
    assert intake.acks[-1][1].through == 5
    assert "there is room again" in intake.told[-1][1]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Intake]:
    """An intake that keeps a reserve on its disk, and takes few waiting batches."""
    size = make_message(1).ByteSize()
    room = Room(tmp_path, reserve_bytes=0, max_waiting_bytes=8 * size)
    opened = Intake(tmp_path, Limits(log_bytes=4 * size), room)
    yield opened
    opened.close()


def test_below_the_reserve_nothing_is_acknowledged(watched: Intake, tmp_path: Path) -> None:
    watched.ingest._room = Room(tmp_path, reserve_bytes=1 << 60, max_waiting_bytes=None)
    watched.take(make_message(1))
    assert (watched.acks, watched.log.totals.stored) == ([], 0)
    assert "in reserve: make room" in watched.told[0][1]


def test_a_device_that_fills_the_log_waits_until_the_trainer_has_caught_up(
    watched: Intake,
) -> None:
    messages = [make_message(seq) for seq in range(1, 11)]
    for message in messages:
        watched.take(message)
    assert watched.log.devices[DEVICE].stored == 4
    watched.take(make_message(1, device="other"))
    assert watched.log.devices["other"].stored == 1
    assert watched.ingest.dropped[DEVICE] == 6
    watched.log.give_turns()
    watched.take(*messages[4:8])
    assert watched.log.devices[DEVICE].stored == 8


def test_a_log_that_is_full_of_waiting_batches_takes_no_more(watched: Intake) -> None:
    for device in ("a", "b", "c", "d"):
        for seq in (1, 2, 3):
            watched.take(make_message(seq, device=device))
    assert watched.log.totals.stored == 9
    assert "which fills the log" in watched.told[-1][1]


def test_what_is_answered_and_when_a_device_was_seen_is_known(intake: Intake) -> None:
    assert intake.ingest.seen(DEVICE) is None
    assert np.isnan(intake.ingest.ack_wait_ms)
    intake.take(make_message(1))
    assert intake.ingest.acks_total == 1
    assert 0 < intake.ingest.ack_wait_ms < 10_000
    assert intake.ingest.seen(DEVICE) is not None
