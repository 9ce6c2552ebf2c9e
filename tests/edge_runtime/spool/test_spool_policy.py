from collections import Counter

import numpy as np
import pytest
from edge_parts import make_batch, make_manifest
from hiertk_edge.spool.policy import MOST_THINNED, samples_to_keep, thinning_of
from hiertk_edge.spool.records import Row
from hiertk_edge.spool.rewriting import requantize, thin
from hiertk_protocol.codec import decode, dequantize
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import FeatureContract
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=40)
ELSEWHERE = st.dictionaries(st.integers(0, 5), st.integers(0, 50))


def row(samples: int = 4, *, held_out: bool = False, edge_step: int = 7, thinned: int = 0) -> Row:
    return Row(1, 100, 0, edge_step, held_out, 8, (0,) * samples, thinned)


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, elsewhere=ELSEWHERE)
def test_half_of_the_samples_stay_in_their_order(
    labels: list[int], elsewhere: dict[int, int]
) -> None:
    keep = samples_to_keep(labels, Counter(elsewhere) + Counter(labels))
    assert len(keep) == len(labels) // 2
    assert keep == sorted(set(keep))
    assert all(0 <= index < len(labels) for index in keep)


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, elsewhere=ELSEWHERE)
def test_no_class_loses_a_sample_while_a_more_common_one_keeps_its_own(
    labels: list[int], elsewhere: dict[int, int]
) -> None:
    held = Counter(elsewhere) + Counter(labels)
    kept = Counter(labels[index] for index in samples_to_keep(labels, held))
    taken = Counter(labels) - kept
    after = held - taken
    for loser in taken:
        for keeper in kept:
            assert after[keeper] <= after[loser] + 1


def test_a_rare_class_stays_when_a_common_one_can_go() -> None:
    labels = [0, 0, 1, 0]
    assert samples_to_keep(labels, {0: 300, 1: 3}) == [0, 2]


def test_a_message_of_one_sample_goes_as_a_whole() -> None:
    assert samples_to_keep([3], {3: 1}) == []
    assert thinning_of(row(1), 0) == "drop"
    assert thinning_of(row(2), 0) == "thin"


def test_an_evaluation_goes_whole_once_a_newer_one_is_held_and_is_never_thinned() -> None:
    assert thinning_of(row(held_out=True, edge_step=7), newest_evaluation=9) == "drop"
    assert thinning_of(row(held_out=True, edge_step=9), newest_evaluation=9) == "pass over"


@pytest.mark.parametrize("held_out", [True, False])
def test_whatever_was_passed_over_often_enough_goes(held_out: bool) -> None:
    assert thinning_of(row(4096, held_out=held_out, thinned=MOST_THINNED), 7) == "drop"


@settings(max_examples=40, deadline=None)
@given(data=st.data(), samples=st.integers(2, 9))
def test_the_samples_left_are_exactly_as_they_were(data: st.DataObject, samples: int) -> None:
    message = batch(samples)
    keep = sorted(data.draw(st.sets(st.integers(0, samples - 1), min_size=1)))
    thinned = thin(message, keep)
    before, after = features(message), features(thinned)
    assert np.array_equal(after, before[keep])
    assert list(thinned.labels) == [index % 4 for index in keep]
    assert (thinned.epoch, thinned.seq, thinned.edge_step) == (5, 6, 7)
    FeatureContract(make_manifest()).check(thinned)


@pytest.mark.parametrize("seed", range(5))
def test_requantized_values_are_off_by_both_roundings_at_most(seed: int) -> None:
    message = batch(6, seed=seed)
    reduced = requantize(message, 4)
    scales = np.frombuffer(reduced.features.scales, "<f4").reshape(1, -1, 1, 1)
    assert reduced.features.bits == 4
    assert np.all(np.abs(features(reduced) - features(message)) <= scales * (1 + 1e-6))
    assert reduced.ByteSize() < message.ByteSize()
    FeatureContract(make_manifest()).check(reduced)


def test_a_message_without_a_label_for_each_sample_is_refused() -> None:
    message = batch(3)
    message.early_exit.append(1)
    with pytest.raises(ProtocolError, match="one label for each sample"):
        thin(message, [0])


def batch(samples: int, seed: int = 0) -> FeatureBatch:
    message = make_batch(samples, seed=seed)
    message.epoch, message.seq, message.edge_step = 5, 6, 7
    message.labels[:] = [index % 4 for index in range(samples)]
    return message


def features(message: FeatureBatch) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return dequantize(decode(message.features, tuple(message.shape)))
