"""Turns: fair over devices, the same after a crash, and stale batches left out."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from cloud_service.log_parts import BUNDLE, give_all_turns, in_turn, stored
from hiertk_cloud.log import DurableLog, LogReader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DurableLog]:
    opened = DurableLog(tmp_path / "log.sqlite", BUNDLE)
    yield opened
    opened.close()


@pytest.fixture
def reader(log: DurableLog, tmp_path: Path) -> Iterator[LogReader]:
    opened = LogReader(tmp_path / "log.sqlite")
    yield opened
    opened.close()


def devices_in_turn(reader: LogReader) -> list[str]:
    return [
        entry.device
        for turn in range(1, reader.last_turn() + 1)
        if (entry := reader.at_turn(turn)) is not None
    ]


def test_a_device_with_a_long_backlog_does_not_hold_the_others_up(
    log: DurableLog, reader: LogReader
) -> None:
    log.append([stored(seq, device="flood") for seq in range(1, 41)])
    log.append([stored(seq, device="late") for seq in range(1, 4)])
    give_all_turns(log)
    assert devices_in_turn(reader)[:7] == ["flood", "late"] * 3 + ["flood"]


def test_each_devices_batches_keep_their_order(log: DurableLog, reader: LogReader) -> None:
    log.append([stored(seq, device=device) for device in "ab" for seq in (1, 2, 3)])
    give_all_turns(log)
    assert in_turn(reader) == [b"message %d" % seq for seq in (1, 1, 2, 2, 3, 3)]


def test_turns_that_were_given_stay_whatever_comes_later(
    log: DurableLog, reader: LogReader
) -> None:
    log.append([stored(seq, device="b") for seq in range(1, 21)])
    assert log.give_turns() == 16
    before = devices_in_turn(reader)
    log.append([stored(1, device="a")])
    give_all_turns(log)
    assert devices_in_turn(reader)[:16] == before
    assert "a" in devices_in_turn(reader)[16:18]


def test_a_batch_far_behind_its_devices_newest_edge_step_is_left_out(
    log: DurableLog, reader: LogReader
) -> None:
    log.append([stored(1, edge_step=10), stored(2, edge_step=10, held_out=True)])
    log.append([stored(3, edge_step=111)])
    log.append([stored(1, device="other", edge_step=1)])
    give_all_turns(log, stale_after=100)
    entries = [entry for turn in range(1, 5) if (entry := reader.at_turn(turn))]
    fates = {(e.device, e.message): (e.train_number, e.held_out) for e in entries}
    assert fates[("pi-1", b"message 1")] == (None, False)
    assert fates[("pi-1", b"message 2")] == (None, True)
    assert fates[("pi-1", b"message 3")][0] is not None
    assert fates[("other", b"message 1")][0] is not None


def test_exactly_at_the_limit_a_batch_still_trains(log: DurableLog, reader: LogReader) -> None:
    log.append([stored(1, edge_step=10), stored(2, edge_step=110)])
    give_all_turns(log, stale_after=100)
    assert [entry.train_number for turn in (1, 2) if (entry := reader.at_turn(turn))] == [1, 2]


def test_what_waits_is_counted_by_device_also_after_opening_again(
    log: DurableLog, tmp_path: Path
) -> None:
    log.append([stored(seq, size=100) for seq in range(1, 21)] + [stored(1, device="a", size=50)])
    log.give_turns()
    for opened in (log, DurableLog(tmp_path / "log.sqlite", BUNDLE)):
        waiting = {name: (one.waiting, one.waiting_bytes) for name, one in opened.devices.items()}
        assert waiting == {"a": (0, 0), "pi-1": (5, 500)}
        assert (opened.totals.turns, opened.totals.waiting_bytes) == (16, 500)
    opened.close()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(
        st.tuples(st.lists(st.sampled_from("abc"), max_size=12), st.booleans()), max_size=8
    )
)
def test_every_batch_gets_one_turn_and_none_waits_for_long(
    groups: list[tuple[list[str], bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.sqlite"
    log = DurableLog(path, BUNDLE)
    seqs = dict.fromkeys("abc", 0)
    for devices, gives in groups:
        arrivals = []
        for device in devices:
            seqs[device] += 1
            arrivals.append(stored(seqs[device], device=device))
        if arrivals:
            log.append(arrivals)
        if gives:
            log.give_turns()
    give_all_turns(log)
    reader = LogReader(path)
    order = [
        (e.device, e.message) for t in range(1, sum(seqs.values()) + 1) if (e := reader.at_turn(t))
    ]
    assert len(set(order)) == len(order) == sum(seqs.values())
    for device in "abc":
        own = [int(message.split()[1]) for name, message in order if name == device]
        assert all(one < other for one, other in pairwise(own))
    reader.close()
    log.close()
