"""The durable log: what is settled stays settled, whatever comes again or in whatever order."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_service.log_parts import (
    BUNDLE,
    DEVICE,
    EPOCH,
    give_all_turns,
    in_turn,
    refused,
    stored,
)
from hiertk_cloud.log import (
    Accepted,
    DiskFullError,
    DurableLog,
    LogReader,
    Settled,
    append,
)
from hiertk_cloud.log.append import MAX_AHEAD
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.messages import BatchKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def settled(
    through: int, *beyond: int, refused: tuple[tuple[int, str], ...] = ()
) -> tuple[Settled, ...]:
    return (Settled(DEVICE, EPOCH, through, beyond, refused),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[DurableLog]:
    opened = DurableLog(path, BUNDLE)
    yield opened
    opened.close()


@pytest.fixture
def reader(log: DurableLog, path: Path) -> Iterator[LogReader]:
    opened = LogReader(path)
    yield opened
    opened.close()


def reopened(log: DurableLog, path: Path) -> DurableLog:
    log.close()
    return DurableLog(path, BUNDLE)


def counts(log: DurableLog) -> tuple[int, int, int, int]:
    totals = log.totals
    return totals.stored, totals.refused, totals.duplicates, totals.ignored


def test_a_duplicate_is_stored_once_and_settled_again(log: DurableLog, reader: LogReader) -> None:
    assert log.append([stored(1), stored(1)]) == settled(1)
    assert log.append([stored(1)]) == settled(1)
    assert counts(log) == (1, 0, 2, 0)
    give_all_turns(log)
    assert in_turn(reader) == [b"message 1"]


def test_what_lies_beyond_a_gap_is_named_until_the_gap_is_filled(log: DurableLog) -> None:
    assert log.append([stored(1), stored(3), stored(5)]) == settled(1, 3, 5)
    assert log.append([stored(2)]) == settled(3, 5)
    assert log.append([stored(4)]) == settled(5)


def test_the_floor_settles_what_the_device_no_longer_holds(log: DurableLog) -> None:
    assert log.append([stored(10, floor=8)]) == settled(7, 10)
    assert log.append([stored(9, floor=9)]) == settled(10)


def test_the_floor_of_a_refused_message_counts_unless_it_is_nonsense(log: DurableLog) -> None:
    assert log.append([refused(10, floor=10)]) == settled(10, refused=((10, "too odd"),))
    assert log.append([refused(12, floor=500)]) == settled(10, 12, refused=((12, "too odd"),))


def test_a_refusal_settles_and_is_given_again_with_its_first_reason(log: DurableLog) -> None:
    assert log.append([refused(1)]) == settled(1, refused=((1, "too odd"),))
    assert log.append([refused(1, "another")]) == settled(1, refused=((1, "too odd"),))
    assert log.append([stored(1)]) == settled(1, refused=((1, "too odd"),))
    assert counts(log) == (0, 1, 2, 0)


def test_an_ack_names_only_the_refusals_that_it_answers(log: DurableLog) -> None:
    log.append([refused(1)])
    assert log.append([stored(2)]) == settled(2)


def test_all_is_remembered_when_the_log_is_opened_again(log: DurableLog, path: Path) -> None:
    log.append([stored(1), refused(3), stored(4), stored(1)])
    again = reopened(log, path)
    assert counts(again) == (2, 1, 1, 0)
    assert again.append([stored(4), refused(3)]) == settled(1, 3, 4, refused=((3, "too odd"),))
    assert again.append([stored(2)]) == settled(4)
    again.close()


def test_epochs_are_apart_over_their_whole_range(log: DurableLog) -> None:
    epochs = [0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    answers = log.append([stored(1, epoch=epoch) for epoch in epochs])
    assert [answer.epoch for answer in answers] == epochs
    assert log.totals.stored == 4


def test_a_message_too_far_ahead_is_ignored_and_not_settled(log: DurableLog) -> None:
    assert log.append([stored(MAX_AHEAD + 1)]) == settled(0)
    assert log.append([stored(MAX_AHEAD)]) == settled(0, MAX_AHEAD)
    assert counts(log) == (1, 0, 0, 1)


def test_a_new_device_beyond_the_limit_is_ignored(
    log: DurableLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append, "MAX_STREAMS", 2)
    assert len(log.append([stored(1, epoch=epoch) for epoch in (1, 2, 3)])) == 2
    assert len(log.append([stored(2, epoch=2), stored(1, epoch=4)])) == 1
    assert counts(log) == (3, 0, 0, 2)


def test_old_refusals_and_long_reasons_are_not_kept_for_ever(log: DurableLog, path: Path) -> None:
    log.append([refused(seq, "x" * 1000) for seq in range(1, 65)])
    log.append([stored(MAX_AHEAD + 60, floor=MAX_AHEAD + 60)])
    database = sqlite3.connect(path)
    assert database.execute("SELECT seq, length(reason) FROM refusals").fetchall() == [
        (seq, 200) for seq in range(61, 65)
    ]
    database.close()


def test_readers_see_batches_in_order_and_count_those_to_train_on(
    log: DurableLog, reader: LogReader
) -> None:
    log.append([stored(1), stored(2, held_out=True), stored(3)])
    log.append([stored(4, held_out=True), stored(5)])
    give_all_turns(log)
    assert in_turn(reader) == [b"message %d" % seq for seq in (1, 2, 3, 4, 5)]
    numbers = [entry.train_number for turn in range(1, 6) if (entry := reader.at_turn(turn))]
    assert numbers == [1, None, 2, None, 3]
    assert reader.training_batch(3).message == b"message 5"
    assert reader.last_turn() == 5


def test_the_log_of_another_bundle_is_refused(log: DurableLog, path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bundle 0001020304050607, not 0707.*--state") as error:
        DurableLog(path, b"\7" * 32)
    assert "\n" not in str(error.value)


def test_a_log_of_another_version_is_refused(log: DurableLog, path: Path) -> None:
    log.close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(StorageError, match="version 9, this is version 2"):
        DurableLog(path, BUNDLE)


def test_a_full_disk_stores_nothing_of_the_group(log: DurableLog, reader: LogReader) -> None:
    log.append([stored(1)])
    log._database.execute("PRAGMA max_page_count = 1")
    large = Accepted(BatchKey(DEVICE, EPOCH, 3), 1, 1, held_out=False, message=bytes(1 << 20))
    with pytest.raises(DiskFullError, match="full"):
        log.append([stored(2), large])
    log._database.execute("PRAGMA max_page_count = 1000000")
    assert log.totals.stored == 1
    assert log.append([stored(2)]) == settled(2)
    give_all_turns(log)
    assert in_turn(reader) == [b"message 1", b"message 2"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrivals=st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=30),
    group=st.integers(1, 5),
)
def test_any_order_settles_each_number_once(
    arrivals: list[tuple[int, bool]], group: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = DurableLog(tmp_path_factory.mktemp("log") / "log.sqlite", BUNDLE)
    seen: dict[int, bool] = {}
    for start in range(0, len(arrivals), group):
        part = arrivals[start : start + group]
        (answer,) = log.append([stored(seq) if good else refused(seq) for seq, good in part])
        for seq, good in part:
            seen.setdefault(seq, good)
        assert {*range(1, answer.through + 1), *answer.beyond} == set(seen)
        assert answer.through + 1 not in seen
        assert dict(answer.refused).keys() == {seq for seq, _ in part if not seen[seq]}
    assert log.totals.stored == sum(seen.values())
    assert log.totals.duplicates == len(arrivals) - len(seen)
    log.close()
