"""What the log forgets, and what it never does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_service.log_parts import BUNDLE, DEVICE, give_all_turns, query, stored
from hiertk_cloud.log import DurableLog, Retention
from hiertk_protocol.host.steady_clock import SteadyClock

SIZE = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


def opened(path: Path, **retention: int) -> DurableLog:
    return DurableLog(path, BUNDLE, retention=Retention(**retention))


@pytest.fixture
def log(path: Path) -> Iterator[DurableLog]:
    """Forty batches, of which a checkpoint has consumed thirty; room for ten."""
    log = opened(path, max_bytes=10 * SIZE, replay_window=5)
    log.append([stored(seq, size=SIZE) for seq in range(1, 41)])
    give_all_turns(log)
    log.release(30)
    yield log
    log.close()


def kept(path: Path) -> list[int]:
    return [
        turn for (turn,) in query(path, "SELECT turn FROM batches JOIN messages USING (position)")
    ]


def prune_all(log: DurableLog) -> None:
    while log.prune():
        pass


def test_the_oldest_consumed_batches_go_until_the_size_is_kept(path: Path) -> None:
    log = opened(path, max_bytes=10 * SIZE, replay_window=5)
    log.append([stored(seq, size=SIZE) for seq in range(1, 21)])
    give_all_turns(log)
    log.release(20)
    prune_all(log)
    assert kept(path) == list(range(11, 21))
    assert log.totals.held_bytes == log.devices[DEVICE].held_bytes == 10 * SIZE
    assert log.totals.stored == 20
    log.close()


def test_what_is_not_consumed_or_may_be_replayed_stays_whatever_the_size(
    log: DurableLog, path: Path
) -> None:
    prune_all(log)
    assert kept(path) == list(range(26, 41))


def test_nothing_goes_before_a_checkpoint_is_on_disk(path: Path) -> None:
    log = opened(path, max_bytes=1, replay_window=1)
    log.append([stored(seq, size=SIZE) for seq in range(1, 11)])
    give_all_turns(log)
    assert log.prune() == 0
    assert len(kept(path)) == 10
    log.close()


def test_what_is_forgotten_is_not_stored_again(log: DurableLog, path: Path) -> None:
    prune_all(log)
    again = log.append([stored(seq, size=SIZE) for seq in (1, 2, 41)])
    assert again[0].through == 41
    assert log.totals.stored == 41
    assert log.totals.duplicates == 2


def test_a_batch_beyond_a_gap_is_remembered_after_its_message_is_gone(path: Path) -> None:
    log = opened(path, max_bytes=1, replay_window=1)
    log.append([stored(seq, size=SIZE) for seq in (1, *range(3, 12))])
    give_all_turns(log)
    log.release(10)
    prune_all(log)
    assert kept(path) == [10]
    answer = log.append([stored(5, size=SIZE), stored(2, size=SIZE)])
    assert answer[0].through == 11
    assert (log.totals.stored, log.totals.duplicates) == (11, 1)
    log.close()


def test_old_batches_go_by_age(path: Path) -> None:
    log = opened(path, max_age_s=3600, replay_window=1)
    log.append([stored(seq) for seq in range(1, 4)])
    give_all_turns(log)
    log.release(3)
    assert log.prune() == 0
    query(path, "UPDATE batches SET stored_at = stored_at - 3601 WHERE turn = 1")
    assert log.prune() > 0
    assert kept(path) == [2, 3]
    log.close()


def test_totals_after_forgetting_are_the_same_when_opened_again(
    log: DurableLog, path: Path
) -> None:
    prune_all(log)
    again = opened(path)
    assert again.totals == log.totals
    assert again.devices == log.devices
    again.close()


class Hands:
    """A wall clock and a monotonic one, set by hand."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.monotonic = 50.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self, newest: int) -> SteadyClock:
        return SteadyClock(newest, wall=lambda: self.wall, monotonic=lambda: self.monotonic)


@pytest.mark.parametrize("jump", [-1e9, -3600.0, 3600.0, 1e9])
def test_a_clock_that_jumps_dates_nothing_wrongly(jump: float) -> None:
    hands = Hands()
    clock = hands.clock(0)
    before = clock.now()
    hands.pass_(10)
    hands.wall += jump
    assert clock.now() == before + 10


def test_a_clock_that_was_behind_at_the_start_does_not_go_back() -> None:
    hands = Hands()
    assert hands.clock(1_800_000_000).now() == 1_800_000_000
    assert hands.clock(1_600_000_000).now() == 1_700_000_000
