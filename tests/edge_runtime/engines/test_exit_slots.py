"""The open slots as a checkpoint keeps them: whatever is open comes back, and nothing else does."""

import pytest
from hiertk_edge.engines.exit_slots import ExitSlots
from hiertk_protocol.manifest import ClassInfo
from hypothesis import given
from hypothesis import strategies as st

CLASSES = ClassInfo(names=("a", "b"), capacity=4096)


@given(st.sets(st.integers(0, 4095), max_size=300))
def test_open_slots_survive_their_text(slots: set[int]) -> None:
    made = ExitSlots(CLASSES, "")
    for slot in slots:
        made.add(slot)
    assert ExitSlots(CLASSES, made.text()).open == slots
    assert (made.evaluation_bias == 0).sum() == len(slots)


@given(st.text(max_size=20) | st.text("0123456789 ", max_size=20))
def test_any_text_gives_slots_or_a_reason(text: str) -> None:
    try:
        made = ExitSlots(CLASSES, text)
    except ValueError:
        return
    assert made.text() == " ".join(map(str, map(int, text.split())))


def test_all_slots_of_the_largest_bundle_fit_a_checkpoint() -> None:
    made = ExitSlots(CLASSES, " ".join(map(str, range(4096))))
    assert len(made.open) == 4096
    assert len(made.text()) < 1 << 15


def test_a_text_with_more_words_than_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="open slots"):
        ExitSlots(ClassInfo(names=(), capacity=2), "0 1 2")
