from hiertk_edge.rehearsal.held_out import digest_of, is_held_out, rank_of, surplus
from hypothesis import given, settings
from hypothesis import strategies as st

RANKS = st.dictionaries(
    st.integers(0, 4), st.lists(st.integers(0, (1 << 64) - 1), max_size=12, unique=True)
)


def test_the_share_is_what_was_asked_for() -> None:
    ranks = [rank_of(digest_of(number.to_bytes(4, "big"), 1)) for number in range(4000)]
    held = sum(is_held_out(rank, 0.1) for rank in ranks)
    assert 340 < held < 460
    assert not any(is_held_out(rank, 0) for rank in ranks)


def test_an_image_is_told_apart_by_its_pixels_and_its_label() -> None:
    digests = {digest_of(pixels, slot) for pixels in (b"a", b"b") for slot in (0, 1, 256)}
    assert len(digests) == 6


@settings(deadline=None, max_examples=50)
@given(RANKS, st.integers(0, 30))
def test_the_largest_classes_give_up_their_highest_ranks(
    held: dict[int, list[int]], capacity: int
) -> None:
    total = sum(map(len, held.values()))
    gone = surplus(held, capacity)
    assert len(gone) == max(0, total - capacity)
    left = {
        slot: sorted(set(ranks) - {r for s, r in gone if s == slot}) for slot, ranks in held.items()
    }
    for slot, ranks in held.items():
        assert left[slot] == sorted(ranks)[: len(left[slot])]
    most = max(map(len, left.values()), default=0)
    assert all(len(left[slot]) >= most - 1 for slot, _ in gone)
