from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk_edge.spool import Cursor, Spool, SpoolLimits
from hiertk_protocol.errors import StorageError
from hypothesis import given, settings
from hypothesis import strategies as st

HOUR = 3600
YEAR = 365 * 24 * HOUR
NOW = 1.8e9
BUNDLE = make_manifest().bundle_id


class Clocks:
    """A wall clock that a test sets, and a monotonic one that begins anew with each boot."""

    def __init__(self) -> None:
        self.wall = NOW
        self.monotonic = 100.0

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    @contextmanager
    def boot(self, path: Path, *, max_age_s: int = 10 * HOUR) -> Iterator[Spool]:
        self.monotonic = 5.0
        opened = Spool(
            path,
            bundle_id=BUNDLE,
            device=DEVICE,
            limits=SpoolLimits(max_age_s=max_age_s),
            wall=lambda: self.wall,
            monotonic=lambda: self.monotonic,
        )
        with closing(opened) as spool:
            yield spool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


def put(spool: Spool) -> None:
    spool.put([make_batch()], Cursor())


def test_a_message_goes_when_the_device_has_run_so_long_with_it(path: Path) -> None:
    clocks = Clocks()
    with clocks.boot(path) as spool:
        put(spool)
        clocks.run(6 * HOUR)
        put(spool)
        clocks.run(3 * HOUR)
        spool.expire()
        assert (spool.totals.held, spool.totals.aged) == (2, 0)
        clocks.run(2 * HOUR)
        spool.expire()
        assert (spool.floor, spool.totals.aged, spool.totals.dropped) == (2, 1, 0)
    with clocks.boot(path) as spool:
        clocks.run(6 * HOUR)
        put(spool)
        assert (spool.totals.held, spool.totals.aged) == (1, 2)


def test_without_a_limit_nothing_is_ever_too_old(path: Path) -> None:
    clocks = Clocks()
    with clocks.boot(path, max_age_s=0) as spool:
        put(spool)
        clocks.run(40 * YEAR)
        spool.expire()
        assert spool.totals.held == 1


@pytest.mark.parametrize("wrong", [0.0, NOW - YEAR, NOW + 14 * YEAR])
def test_a_clock_that_is_wrong_at_boot_ages_nothing_and_keeps_nothing_for_ever(
    path: Path, wrong: float
) -> None:
    clocks = Clocks()
    with clocks.boot(path) as spool:
        put(spool)
        clocks.run(4 * HOUR)
        put(spool)
    clocks.wall = wrong
    with clocks.boot(path) as spool:
        spool.expire()
        assert spool.totals.held == 2
        put(spool)
        clocks.wall = NOW + 5 * HOUR  # the network has set it
        clocks.run(5 * HOUR)
        spool.expire()
        assert spool.totals.held == 3
    with clocks.boot(path) as spool:
        clocks.run(6 * HOUR)
        spool.expire()
        assert (spool.totals.held, spool.totals.aged) == (0, 3)


@settings(max_examples=40, deadline=None)
@given(
    jumps=st.lists(st.floats(-50 * YEAR, 50 * YEAR), min_size=1, max_size=6),
    run_s=st.integers(1, 3 * HOUR),
)
def test_whatever_the_wall_clock_does_only_running_ages(jumps: list[float], run_s: int) -> None:
    clocks = Clocks()
    with clocks.boot(Path(":memory:")) as spool:
        put(spool)
        for jump in jumps:
            clocks.wall = max(0.0, clocks.wall + jump)
            clocks.run(run_s)
            spool.expire()
        ran_s = run_s * len(jumps)
        assert (spool.totals.held == 1) == (ran_s <= 10 * HOUR)


def test_the_hours_of_the_wire_survive_a_restart_and_age_while_it_is_off(path: Path) -> None:
    clocks = Clocks()
    with clocks.boot(path) as spool:
        hour = spool.now() // HOUR
        spool.note_wire(hour, 1000)
    clocks.run(7 * HOUR)
    with clocks.boot(path) as spool:
        assert spool.wire_hours() == {hour - 7: 1000}
        spool.note_wire(spool.now() // HOUR, 50)
        put(spool)
    with clocks.boot(path) as spool:
        assert spool.wire_hours() == {hour - 7: 1000, hour: 50}


@pytest.mark.parametrize(("jump", "hours"), [(-50 * YEAR, 0), (50 * YEAR, 25), (0, 0)])
def test_a_wrong_wall_clock_moves_the_hours_of_the_wire_by_a_day_at_most(
    path: Path, jump: float, hours: int
) -> None:
    clocks = Clocks()
    with clocks.boot(path) as spool:
        spool.note_wire(0, 1000)
    clocks.wall = max(0.0, clocks.wall + jump)
    for _ in range(3):
        with clocks.boot(path) as spool:
            assert spool.wire_hours() == {-hours: 1000}, "and restarts move them no further"


def test_what_was_remembered_of_a_failed_write_is_written_by_the_next(path: Path) -> None:
    clocks = Clocks()
    with clocks.boot(path) as spool:
        spool.note_wire(0, 10)
        spool._database.execute("PRAGMA query_only = ON")
        with pytest.raises(StorageError, match="readonly"):
            spool.flush()
        spool._database.execute("PRAGMA query_only = OFF")
        assert spool.wire_hours() == {}
    with clocks.boot(path) as spool:
        assert spool.wire_hours() == {0: 10}
