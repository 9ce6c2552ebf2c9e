from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from edge_parts import DEVICE, make_batch, make_manifest
from hiertk_edge.spool import Cursor, Spool, SpoolLimits, WhenFull
from hiertk_protocol.codec import decode, dequantize, quantize
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import FeatureContract
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

MANIFEST = make_manifest(shape=(4, 8, 8))
POLICIES: tuple[WhenFull, ...] = ("drop-oldest", "drop-newest", "thin-out", "fewer-bits")
SAMPLES = 8


@contextmanager
def open_spool(path: Path, when_full: WhenFull, max_bytes: int) -> Iterator[Spool]:
    limits = SpoolLimits(max_bytes=max_bytes, when_full=when_full)
    opened = Spool(path, bundle_id=MANIFEST.bundle_id, device=DEVICE, limits=limits)
    with closing(opened) as spool:
        yield spool


def messages(spool: Spool) -> list[FeatureBatch]:
    found = []
    seq = 0
    while (stored := spool.next_after(seq)) is not None:
        seq = stored.seq
        message = FeatureBatch.FromString(stored.message)
        assert message.seq == seq, "a rewritten message keeps its number"
        found.append(message)
    return found


def batch(
    number: int, labels: tuple[int, ...] = (0, 0, 0, 0, 0, 1, 1, 2), *, held_out: bool = False
) -> FeatureBatch:
    message = make_batch(len(labels), size=8, seed=number)
    message.labels[:] = labels
    message.edge_step = number
    message.purpose = FeatureBatch.HELD_OUT if held_out else FeatureBatch.TRAIN
    return message


SIZE = len(batch(1).SerializeToString()) + 20
SOME = SIZE // 4  # so that two halves, with a header each, are less than a whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


def test_drop_newest_keeps_what_it_has_and_uses_no_number_for_the_rest(path: Path) -> None:
    with open_spool(path, "drop-newest", 3 * SIZE + SOME) as spool:
        for number in range(1, 6):
            spool.put([batch(number)], Cursor("p", number))
        assert [message.edge_step for message in messages(spool)] == [1, 2, 3]
        assert (spool.totals.next_seq, spool.totals.spooled, spool.totals.dropped) == (4, 3, 2)
        assert (spool.totals.samples, spool.totals.dropped_samples) == (3 * SAMPLES, 2 * SAMPLES)
        assert spool.cursor.consumed == 5, "training goes on"
        spool.settle(1, (), {})
        assert spool.put([batch(6)], Cursor("p", 6)) == [4]


def test_thin_out_takes_every_second_sample_of_the_oldest_first(path: Path) -> None:
    with open_spool(path, "thin-out", 4 * SIZE + SOME) as spool:
        for number in range(1, 6):
            spool.put([batch(number)], Cursor())
        assert [len(message.labels) for message in messages(spool)] == [4, 4, 8, 8, 8]
        assert (spool.totals.thinned, spool.totals.dropped) == (8, 0)


def test_thin_out_keeps_an_even_sample_of_a_long_outage_and_its_rare_classes(path: Path) -> None:
    with open_spool(path, "thin-out", 6 * SIZE) as spool:
        for number in range(1, 21):
            rare = 3 if number % 5 == 0 else 0
            spool.put([batch(number, (0, 0, 0, 0, 0, 0, 0, rare))], Cursor())
        held = messages(spool)
        sizes = [len(message.labels) for message in held]
        assert len(held) == 20, "no message had to go"
        assert max(sizes[:-1]) <= 4 * min(sizes), "the last one has just come"
        assert Counter(label for message in held for label in message.labels)[3] == 4
        assert spool.totals.thinned == 20 * SAMPLES - sum(sizes)
        for message in held:
            FeatureContract(MANIFEST).check(message)


def test_thinned_to_nothing_a_message_goes_and_the_spool_stays_in_its_bound(path: Path) -> None:
    with open_spool(path, "thin-out", 2 * SIZE) as spool:
        for number in range(1, 60):
            spool.put([batch(number)], Cursor())
            assert spool.totals.held_bytes <= 2 * SIZE
        assert spool.totals.dropped > 0
        held = sum(len(message.labels) for message in messages(spool))
        lost = spool.totals.thinned + spool.totals.dropped_samples
        assert held + lost == 59 * SAMPLES


def test_evaluations_are_never_thinned_and_only_the_newest_stays(path: Path) -> None:
    with open_spool(path, "thin-out", 5 * SIZE) as spool:
        for number in range(1, 41):
            spool.put([batch(number, held_out=number in {2, 12, 22})], Cursor())
        held_out = [m for m in messages(spool) if m.purpose == FeatureBatch.HELD_OUT]
        assert [(m.edge_step, len(m.labels)) for m in held_out] == [(22, SAMPLES)]


def test_fewer_bits_reduces_the_oldest_and_then_drops_them(path: Path) -> None:
    with open_spool(path, "fewer-bits", 4 * SIZE + SOME) as spool:
        spool.put([batch(0, held_out=True)], Cursor())
        for number in range(1, 5):
            spool.put([batch(number)], Cursor())
        assert [message.features.bits for message in messages(spool)] == [8, 4, 4, 8, 8]
        for number in range(5, 14):
            spool.put([batch(number)], Cursor())
        found = messages(spool)
        assert spool.totals.dropped > 0, "all had 4 bits"
        assert found[-1].features.bits == 8
        assert {message.features.bits for message in found[:-1]} == {4}
        assert found[0].edge_step == spool.totals.dropped
        reduced = [message.features.bits for message in found].count(4)
        assert spool.totals.requantized >= reduced


def test_a_requantized_message_is_the_stored_one_at_4_bits(path: Path) -> None:
    with open_spool(path, "fewer-bits", 2 * SIZE + SOME) as spool:
        for number in range(3):
            spool.put([batch(number)], Cursor())
        first = messages(spool)[0]
    stored = batch(0)
    shape = tuple(stored.shape)
    wanted = quantize(dequantize(decode(stored.features, shape)), 4)
    assert np.array_equal(decode(first.features, shape).values, wanted.values)


def test_a_message_made_smaller_while_it_was_on_its_way_is_settled_by_its_ack(path: Path) -> None:
    with open_spool(path, "thin-out", 2 * SIZE) as spool:
        spool.put([batch(1)], Cursor())
        sent = spool.next_after(0)
        assert sent is not None
        spool.put([batch(2)], Cursor())
        spool.put([batch(3)], Cursor())
        again = spool.next_after(0)
        assert again is not None
        assert (again.seq, len(again.message) < len(sent.message)) == (sent.seq, True)
        spool.settle(1, (), {})
        assert [message.seq for message in messages(spool)] == [2, 3]
        spool.settle(3, (), {})
        assert (spool.totals.held, spool.totals.held_bytes) == (0, 0)


@pytest.mark.parametrize("when_full", ["thin-out", "fewer-bits"])
def test_a_damaged_message_that_was_to_be_made_smaller_goes_and_is_counted(
    path: Path, when_full: WhenFull
) -> None:
    with open_spool(path, when_full, 2 * SIZE + SOME) as spool:
        spool.put([batch(1)], Cursor())
        spool.put([batch(2)], Cursor())
        spool._database.execute("UPDATE messages SET message = x'0102' WHERE seq = 1")
        spool.put([batch(3)], Cursor())
        assert [message.seq for message in messages(spool)] == [2, 3]
        assert (spool.totals.damaged, spool.totals.held) == (1, 2)


def test_a_damaged_message_is_dropped_when_it_is_read(path: Path) -> None:
    with open_spool(path, "drop-oldest", 100 * SIZE) as spool:
        for number in range(1, 7):
            spool.put([batch(number)], Cursor())
        half = "UPDATE messages SET message = substr(message, 1, length(message) - 1) || x'00'"
        spool._database.execute(f"{half} WHERE seq = 1")
        spool._database.execute("UPDATE messages SET message = 'text' WHERE seq = 3")
        spool._database.execute("DELETE FROM messages WHERE seq = 4")
    with open_spool(path, "drop-oldest", 100 * SIZE) as spool:
        assert spool.totals.held == 6, "nothing is read at the start"
        assert [message.seq for message in messages(spool)] == [2, 5, 6]
        assert (spool.totals.damaged, spool.totals.held) == (3, 3)
        spool.settle(6, (), {})
        assert (spool.totals.held, spool.totals.held_bytes) == (0, 0)


def test_another_policy_may_go_on_with_the_same_spool(path: Path) -> None:
    for number, when_full in enumerate((*POLICIES, *reversed(POLICIES)), 1):
        with open_spool(path, when_full, 4 * SIZE) as spool:
            for one in range(3):
                spool.put([batch(10 * number + one)], Cursor())
            assert spool.totals.held_bytes <= 4 * SIZE
            seqs = [message.seq for message in messages(spool)]
            assert all(a < b for a, b in pairwise(seqs))


def test_many_are_settled_while_another_thread_can_put(path: Path) -> None:
    with open_spool(path, "thin-out", 1000 * SIZE) as spool:
        for _ in range(30):
            spool.put([batch(1)] * 10, Cursor())
        assert spool.settle(280, [285, 290], {295: "why"}) == {295: "why"}
        assert spool.totals.held == 300 - 280 - 3
        assert spool.floor == 281


class FullSpoolMachine(RuleBasedStateMachine):
    """Any policy: the bound holds, the counts are right, every sample has one fate."""

    @initialize(when_full=st.sampled_from(POLICIES))
    def begin(self, when_full: WhenFull) -> None:
        limits = SpoolLimits(max_bytes=9000, when_full=when_full)
        self.spool = Spool(
            Path(":memory:"), bundle_id=MANIFEST.bundle_id, device=DEVICE, limits=limits
        )
        self.offered = self.settled = 0

    @rule(
        sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3),
        slots=st.lists(st.integers(0, 3), min_size=6, max_size=6),
        held_out=st.booleans(),
    )
    def put(self, sizes: list[int], slots: list[int], held_out: bool) -> None:
        new = [batch(self.offered, tuple(slots[:size]), held_out=held_out) for size in sizes]
        self.spool.put(new, Cursor())
        self.offered += sum(sizes)

    @rule(count=st.integers(1, 5))
    def settle(self, count: int) -> None:
        oldest = messages(self.spool)[:count]
        if oldest:
            self.settled += sum(len(message.labels) for message in oldest)
            self.spool.settle(oldest[-1].seq, (), {})

    @invariant()
    def the_books_are_right(self) -> None:
        held, totals = messages(self.spool), self.spool.totals
        samples = sum(len(message.labels) for message in held)
        assert totals.held == len(held)
        assert totals.held_bytes == sum(message.ByteSize() for message in held) <= 9000
        assert totals.damaged == 0
        lost = totals.thinned + totals.dropped_samples
        assert samples + self.settled + lost == self.offered

    def teardown(self) -> None:
        self.spool.close()


TestAFullSpoolAgainstItsBooks = FullSpoolMachine.TestCase
TestAFullSpoolAgainstItsBooks.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None
)
