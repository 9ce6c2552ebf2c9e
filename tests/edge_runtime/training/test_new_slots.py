"""Classes that are new to an early exit: opened on their first examples, and not drowned."""

import numpy as np
import pytest
from edge_parts import make_manifest
from hiertk_edge.learner import Float32Array, SlotArray, StepResult
from hiertk_edge.training.class_counts import ClassCounts
from hiertk_edge.training.new_slots import NewSlots, TakingUp
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import ClassInfo
from hypothesis import given
from hypothesis import strategies as st
from numpy_learner import NumpyLearner

CLASSES = ClassInfo(names=("red", "green", "blue"), capacity=8)
MANIFEST = make_manifest(shape=(64, 4, 4)).model_copy(update={"classes": CLASSES})
NEW = 7


class Watched(NumpyLearner):
    """A learner that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(MANIFEST)
        self.evaluations = 0
        self.priors: list[Float32Array | None] = []

    def evaluate(self, images: Float32Array, labels: SlotArray | None = None) -> StepResult:
        self.evaluations += 1
        return super().evaluate(images, labels)

    def adjust(self, prior: Float32Array | None) -> None:
        self.priors.append(prior)
        super().adjust(prior)


def batch(labels: list[int], seed: int = 0) -> tuple[Float32Array, SlotArray]:
    """Return noisy images (N, 3, 16, 16), each class with its own pattern."""
    generator = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).normal(size=(8, 3, 16, 16))
    images = patterns[labels] + generator.normal(0, 0.3, (len(labels), 3, 16, 16))
    return images.astype(np.float32), np.array(labels, np.int64)


def trained() -> Watched:
    learner = Watched()
    for seed in range(30):
        learner.step(*batch([0, 1, 2] * 4, seed))
    return learner


def share_of(learner: NumpyLearner, slot: int, seed: int = 500) -> float:
    """Return how many of a class's images its exit knows."""
    images, labels = batch([slot] * 40, seed)
    return float((learner.evaluate(images, labels).predictions == slot).mean())


def test_known_classes_cost_no_evaluation_and_change_nothing() -> None:
    learner, plain = trained(), trained()
    new_slots = NewSlots(learner, CLASSES, TakingUp())
    for seed in range(3):
        images, labels = batch([0, 1, 2, 2], seed)
        new_slots.prepare(images, labels)
        assert learner.step(images, labels).loss == plain.step(images, labels).loss
    assert learner.evaluations == 0
    assert learner.priors == []


def test_an_imprinted_class_is_known_at_once_and_the_others_still_are() -> None:
    learner = trained()
    new_slots = NewSlots(learner, CLASSES, TakingUp())
    images, labels = batch([0, 1, 2, 0, 1, 2, NEW, NEW])
    new_slots.prepare(images, labels)
    assert learner.open_slots == {0, 1, 2, NEW}
    assert learner.evaluations == 1
    assert share_of(learner, NEW) > 0.9
    assert all(share_of(learner, slot) > 0.9 for slot in (0, 1, 2))
    asked = learner.evaluations
    new_slots.prepare(images, labels)
    assert learner.evaluations == asked


def test_several_new_classes_of_one_batch_are_told_apart() -> None:
    learner = trained()
    NewSlots(learner, CLASSES, TakingUp()).prepare(*batch([0, 1, 2, 5, 5, 5, NEW, NEW, NEW]))
    assert share_of(learner, 5) > 0.7
    assert share_of(learner, NEW) > 0.7


@pytest.mark.parametrize("labels", [[NEW], [NEW, NEW], [3, NEW]])
def test_a_batch_of_new_classes_alone_opens_them(labels: list[int]) -> None:
    learner = trained()
    images, slots = batch(labels)
    NewSlots(learner, CLASSES, TakingUp()).prepare(images, slots)
    assert np.isfinite(learner.step(images, slots).loss)
    assert learner.open_slots == {0, 1, 2, *labels}


def test_a_learner_without_any_class_takes_its_first_up() -> None:
    learner = Watched()
    for slot in (0, 1, 2):
        learner.close_slot(slot)
    images, labels = batch([1, 1, NEW])
    NewSlots(learner, CLASSES, TakingUp()).prepare(images, labels)
    assert learner.open_slots == {1, NEW}
    assert np.isfinite(learner.step(images, labels).loss)


def test_random_rows_are_small_and_the_same_for_a_seed() -> None:
    rows = []
    for seed in (1, 1, 2):
        learner = trained()
        NewSlots(learner, CLASSES, TakingUp(imprint=False, seed=seed)).prepare(*batch([0, NEW]))
        assert learner.evaluations == 0
        rows.append(learner.exit_rows([NEW])[0].weight)
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert 0 < np.abs(rows[0]).max() <= len(rows[0]) ** -0.5


@pytest.mark.parametrize("label", [-1, 8, 1 << 40])
def test_a_label_that_is_no_slot_opens_nothing(label: int) -> None:
    learner = trained()
    images, labels = batch([0, NEW, 1])
    labels[2] = label
    with pytest.raises(ConfigError, match=f"slot {label}: this bundle's exits have slots 0 to 7"):
        NewSlots(learner, CLASSES, TakingUp()).prepare(images, labels)
    assert learner.open_slots == {0, 1, 2}


def test_the_loss_is_adjusted_from_the_first_new_class_on() -> None:
    learner = trained()
    new_slots = NewSlots(learner, CLASSES, TakingUp())
    new_slots.prepare(*batch([0, 0, 1, 2]))
    assert learner.priors == []
    new_slots.prepare(*batch([0, 0, 1, NEW]))
    new_slots.prepare(*batch([0, 0, 1, 2]))
    assert len(learner.priors) == 2
    assert learner.priors[-1] is not None
    assert learner.priors[-1][0] == 0
    assert learner.priors[-1][NEW] < learner.priors[-1][1] < 0


def test_a_resumed_learner_with_a_new_class_goes_on_adjusting() -> None:
    learner = Watched()
    learner.open_slot(NEW)
    new_slots = NewSlots(learner, CLASSES, TakingUp())
    new_slots.prepare(*batch([0, 0, NEW]))
    assert learner.priors[-1] is not None


def test_the_adjustment_can_be_turned_off() -> None:
    learner = trained()
    NewSlots(learner, CLASSES, TakingUp(logit_adjustment=False)).prepare(*batch([0, NEW]))
    assert NEW in learner.open_slots
    assert learner.priors == []


def test_a_count_fades_within_some_batches_but_never_to_nothing() -> None:
    counts = ClassCounts(4)
    counts.add(np.array([0, 1]))
    for _ in range(10):
        counts.add(np.array([0]))
    wanted = np.log(0.9**10 / sum(0.9**age for age in range(11)))
    assert counts.prior() == pytest.approx([0, wanted, 0, 0], rel=1e-5)
    for _ in range(10_000):
        counts.add(np.array([0]))
    assert counts.prior()[1] == pytest.approx(np.log(1e-9 / 10), rel=1e-3)


def test_counts_follow_a_class_to_another_slot() -> None:
    counts = ClassCounts(4)
    counts.add(np.array([0, 0, 3]))
    before = counts.prior()
    counts.move({3: 1})
    assert counts.prior() == pytest.approx([before[0], before[3], 0, 0])
    counts.move({1: None})
    assert counts.prior() == pytest.approx([0, 0, 0, 0])


@given(st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=8), max_size=30))
def test_a_prior_is_never_above_zero_and_always_finite(batches: list[list[int]]) -> None:
    counts = ClassCounts(8)
    for labels in batches:
        counts.add(np.array(labels, np.int64))
    prior = counts.prior()
    assert prior.dtype == np.float32
    assert np.isfinite(prior).all()
    assert prior.max() == 0
