import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk_edge.damaged_file import DamagedError
from hiertk_edge.spool import DEFAULT_MAX_BYTES, Cursor, Spool, SpoolLimits
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

BUNDLE = make_manifest().bundle_id

PUBLISH_THREE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk_edge.damaged_file import DamagedError
from hiertk_edge.spool import Cursor, Spool
spool = Spool(Path(sys.argv[1]), bundle_id=make_manifest().bundle_id, device=DEVICE)
spool.put([make_batch()] * 5, Cursor())
for seq in (1, 2, 3):
    spool.note_published(seq)
if sys.argv[3] == "close":
    spool.close()
os._exit(0)
"""

PUT_FOREVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk_edge.damaged_file import DamagedError
from hiertk_edge.spool import Cursor, Spool
spool = Spool(Path(sys.argv[1]), bundle_id=make_manifest().bundle_id, device=DEVICE)
batch = make_batch(4)
for consumed in range(1, 1_000_000):
    print(*spool.put([batch, batch], Cursor("plan", consumed)), flush=True)
"""


@contextmanager
def open_spool(path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Iterator[Spool]:
    limits = SpoolLimits(max_bytes=max_bytes)
    with closing(Spool(path, bundle_id=BUNDLE, device=DEVICE, limits=limits)) as spool:
        yield spool


def held(spool: Spool) -> list[int]:
    found = []
    seq = 0
    while (stored := spool.next_after(seq)) is not None:
        seq = stored.seq
        found.append(seq)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


def test_messages_come_back_in_order_with_epoch_and_number(path: Path) -> None:
    with open_spool(path) as spool:
        assert spool.put([make_batch(seed=1), make_batch(seed=2)], Cursor("p", 1)) == [1, 2]
        assert spool.put([make_batch(seed=3)], Cursor("p", 2)) == [3]
        for seq in (1, 2, 3):
            stored = spool.next_after(seq - 1)
            assert stored is not None
            message = FeatureBatch.FromString(stored.message)
            assert (message.epoch, message.seq) == (spool.epoch, seq)
            assert message.features == make_batch(seed=seq).features
        assert spool.next_after(3) is None


def test_an_appended_floor_is_the_floor_of_the_message(path: Path) -> None:
    with open_spool(path) as spool:
        spool.put([make_batch()], Cursor())
        stored = spool.next_after(0)
        assert stored is not None
        message = FeatureBatch.FromString(
            stored.message + FeatureBatch(floor=9).SerializeToString()
        )
        assert (message.seq, message.floor, len(message.labels)) == (1, 9, 2)


def test_all_is_there_again_after_a_reopening(path: Path) -> None:
    with open_spool(path) as spool:
        spool.put([make_batch(3), make_batch(2)], Cursor("plan", 7, 4))
        spool.settle(1, (), {})
        before = (spool.totals, spool.epoch, spool.cursor, spool.floor)
    with open_spool(path) as spool:
        assert (spool.totals, spool.epoch, spool.cursor, spool.floor) == before
        assert spool.cursor == Cursor("plan", 7, 4)
        assert spool.totals.samples == 5


def test_two_spools_have_two_epochs(tmp_path: Path) -> None:
    with open_spool(tmp_path / "a") as a, open_spool(tmp_path / "b") as b:
        assert a.epoch != b.epoch


def test_numbers_are_never_used_again(path: Path) -> None:
    with open_spool(path) as spool:
        spool.put([make_batch()] * 3, Cursor())
        spool.settle(3, (), {})
    with open_spool(path) as spool:
        assert spool.floor == 4
        assert spool.put([make_batch()], Cursor()) == [4]


@pytest.mark.parametrize("attempt", range(3))
def test_every_put_that_returned_survives_kill_9(path: Path, attempt: int) -> None:
    tests = str(Path(__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-c", PUT_FOREVER, str(path), tests], stdout=subprocess.PIPE, text=True
    ) as putter:
        assert putter.stdout is not None
        lines = [putter.stdout.readline() for _ in range(40 + 17 * attempt)]
        putter.kill()
        lines += putter.stdout.readlines()
    told = [int(seq) for line in lines if line.endswith("\n") for seq in line.split()]
    with open_spool(path) as spool:
        found = held(spool)
        assert found[: len(told)] == told
        assert len(found) == 2 * spool.cursor.consumed, "the cursor is exactly behind the puts"
        assert len(found) - len(told) <= 2
        assert spool.put([make_batch()], Cursor()) == [found[-1] + 1]


def test_a_full_spool_drops_the_oldest_and_counts_them(path: Path) -> None:
    size = len(make_batch().SerializeToString())
    with open_spool(path, max_bytes=5 * (size + 20)) as spool:
        for _ in range(12):
            spool.put([make_batch()], Cursor())
            assert spool.totals.held_bytes <= 5 * (size + 20)
        assert held(spool) == [8, 9, 10, 11, 12]
        assert spool.floor == 8
        assert (spool.totals.dropped, spool.totals.spooled) == (7, 12)


def test_a_gap_is_settled_by_numbers_beyond_it(path: Path) -> None:
    with open_spool(path) as spool:
        spool.put([make_batch()] * 6, Cursor())
        refused = spool.settle(2, [5], {4: "bad shape", 1: "old", 77: "never made"})
        assert refused == {4: "bad shape", 1: "old"}
        assert held(spool) == [3, 6]
        assert (spool.floor, spool.totals.refused, spool.totals.held) == (3, 2, 2)
        assert spool.settle(2, [5], {4: "bad shape"}) == {}
        assert spool.totals.refused == 2


def test_huge_numbers_in_an_ack_do_no_harm(path: Path) -> None:
    largest = (1 << 64) - 1
    with open_spool(path) as spool:
        spool.put([make_batch()] * 2, Cursor())
        spool.settle(0, [largest, 0], {largest: "x"})
        assert held(spool) == [1, 2]
        assert spool.next_after(largest) is None


def test_a_message_that_is_too_large_to_be_sent_is_dropped_and_counted(path: Path) -> None:
    with open_spool(path) as spool:
        spool.put([make_batch()] * 3, Cursor())
        spool.drop(2)
        spool.drop(2)
        assert held(spool) == [1, 3]
        assert (spool.totals.too_large, spool.totals.dropped) == (1, 0)


@pytest.mark.parametrize(("end", "known"), [("close", [1, 2, 3]), ("die", [1, 2, 3, 4, 5])])
def test_what_may_have_been_published_is_known_after_a_kill(
    path: Path, end: str, known: list[int]
) -> None:
    tests = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", PUBLISH_THREE, str(path), tests, end]
    subprocess.run(command, check=True)
    with open_spool(path) as spool:
        assert [seq for seq in range(1, 6) if spool.may_be_published(seq)] == known
        assert not spool.may_be_published(100)


def test_waiting_for_an_empty_spool_ends_with_the_last_ack(path: Path) -> None:
    with open_spool(path) as spool:
        spool.put([make_batch()], Cursor())
        assert not spool.wait_empty(0.01)
        timer = threading.Timer(0.05, spool.settle, (1, (), {}))
        timer.start()
        assert spool.wait_empty(5)
        timer.join()


def test_a_putting_and_a_settling_thread_do_not_disturb_each_other(path: Path) -> None:
    with open_spool(path) as spool:

        def settle_all() -> None:
            seq = 0
            while seq < 300:
                stored = spool.next_after(seq)
                if stored is not None:
                    seq = stored.seq
                    spool.settle(seq, (), {})

        settler = threading.Thread(target=settle_all)
        settler.start()
        for consumed in range(1, 151):
            spool.put([make_batch()] * 2, Cursor("p", consumed))
        settler.join()
        assert (spool.totals.held, spool.totals.held_bytes) == (0, 0)
        assert spool.cursor.consumed == 150
    with open_spool(path) as spool:
        assert (spool.totals.held, spool.totals.next_seq) == (0, 301)


def test_another_bundle_or_device_is_refused(path: Path) -> None:
    with open_spool(path):
        pass
    with pytest.raises(ConfigError, match=r"belongs to bundle .* another --state"):
        Spool(path, bundle_id=b"x" * 32, device=DEVICE)
    with pytest.raises(ConfigError, match="belongs to device 'pi-1'"):
        Spool(path, bundle_id=BUNDLE, device="pi-2")


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        path.write_bytes(b"this is no database" * 1000)
        with open_spool(path) as spool:
            spool.put([make_batch()], Cursor("p", 1))
        assert sorted(one.name for one in path.parent.iterdir()) == [
            path.name,
            f"{path.name}.damaged-{number}",
        ]
    assert "the spool is damaged" in caplog.text


def test_a_damage_that_is_met_while_it_is_used_is_known_at_the_next_start(path: Path) -> None:
    with open_spool(path) as spool:
        spool.put([make_batch()], Cursor("p", 1))
        spool._database.execute("DROP TABLE messages")
        with pytest.raises(DamagedError, match="no such table"):
            spool.put([make_batch()], Cursor("p", 2))
    with open_spool(path) as spool:
        assert spool.cursor == Cursor(), "training goes through its data again"
        assert spool.put([make_batch()], Cursor("p", 1)) == [1]


def test_a_newer_spool_is_refused(path: Path) -> None:
    with open_spool(path):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 3")
    with pytest.raises(StorageError, match="spool version 3"), open_spool(path):
        pass


def test_a_full_disk_is_a_storage_error_and_loses_nothing(path: Path) -> None:
    with open_spool(path) as spool:
        spool.put([make_batch()], Cursor("p", 1))
        spool._database.execute("PRAGMA max_page_count = 12")
        before = spool.totals
        with pytest.raises(StorageError, match="full"):
            spool.put([make_batch(40, size=16)], Cursor("p", 2))
        assert spool.totals == before
        assert spool.cursor.consumed == 1
        assert held(spool) == [1]


class SpoolMachine(RuleBasedStateMachine):
    """The spool against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        limits = SpoolLimits(max_bytes=2000)
        self.spool = Spool(Path(":memory:"), bundle_id=BUNDLE, device=DEVICE, limits=limits)
        self.model: dict[int, int] = {}
        self.next_seq = 1
        self.dropped = self.refused = self.consumed = 0

    @rule(sizes=st.lists(st.integers(1, 4), max_size=3))
    def put(self, sizes: list[int]) -> None:
        self.consumed += 1
        messages = [make_batch(size, size=2) for size in sizes]
        numbers = self.spool.put(messages, Cursor("p", self.consumed))
        assert numbers == list(range(self.next_seq, self.next_seq + len(sizes)))
        new = {seq: m.ByteSize() for seq, m in zip(numbers, messages, strict=True)}
        self.next_seq += len(sizes)
        while self.model and sum(self.model.values()) + sum(new.values()) > 2000:
            del self.model[min(self.model)]
            self.dropped += 1
        self.model |= new

    @rule(
        through=st.integers(0, 40),
        beyond=st.lists(st.integers(0, 50), max_size=5),
        refused=st.dictionaries(st.integers(0, 50), st.just("why"), max_size=4),
    )
    def settle(self, through: int, beyond: list[int], refused: dict[int, str]) -> None:
        wanted = {seq for seq in refused if seq in self.model}
        assert self.spool.settle(through, beyond, refused).keys() == wanted
        self.refused += len(wanted)
        self.model = {
            seq: size
            for seq, size in self.model.items()
            if seq > through and seq not in beyond and seq not in refused
        }

    @invariant()
    def equals_the_model(self) -> None:
        totals = self.spool.totals
        assert held(self.spool) == sorted(self.model)
        assert totals.held == len(self.model)
        assert totals.held_bytes == sum(self.model.values())
        assert totals.next_seq == self.next_seq
        assert (totals.dropped, totals.refused) == (self.dropped, self.refused)
        assert self.spool.floor == min(self.model, default=self.next_seq)
        assert self.spool.cursor.consumed == self.consumed

    def teardown(self) -> None:
        self.spool.close()


TestSpoolAgainstAModel = SpoolMachine.TestCase
TestSpoolAgainstAModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
