"""New classes in the trainer: opened, learned beside the old ones, merged, retired, reused."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from cloud_service.cloud_parts import (
    CLASSES,
    MANIFEST,
    SAMPLES,
    OpenTrainer,
    assert_same_bits,
    checked,
    make_message,
    write_log,
)
from hiertk_cloud.classes.history import ClassHistory
from hiertk_cloud.training.learner import CloudLearner, Learned, Skipped
from hiertk_cloud.training.trainer import TrainerSettings
from hiertk_protocol.class_map import ClassAlias, ClassMap, ClassSlot, exported_map
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import NEW_CLASS
from torch import Tensor, nn

BEE = 3  # the slot that the fourth class gets
EXPORTED = exported_map(MANIFEST.classes)
NAMED = ClassMap(2, (*EXPORTED.slots, ClassSlot(BEE, "bee", 2)))
# The owl is a kind of cat after all; then the bee is retired, and an emu takes its slot.
MERGED = ClassMap(
    3,
    (
        ClassSlot(0, "cat", aliases=(ClassAlias("owl", 2, 1),)),
        ClassSlot(1, "dog"),
        ClassSlot(BEE, "bee", 2),
    ),
)
RETIRED = ClassMap(4, MERGED.slots[:2])
REUSED = ClassMap(5, (*RETIRED.slots, ClassSlot(BEE, "emu", 5)))
HISTORY = ClassHistory((EXPORTED, NAMED, MERGED, RETIRED, REUSED))
ROW, BIAS = "7.weight", "7.bias"
RARELY_SAVED = TrainerSettings(replay=1, checkpoint_every=1_000_000)
SETTINGS = (
    RARELY_SAVED,
    replace(RARELY_SAVED, replay_balance="none"),
    replace(RARELY_SAVED, logit_adjustment=0.0, imprint=False, replay=2),
)


def opened(folder: Path, settings: TrainerSettings = RARELY_SAVED) -> OpenTrainer:
    return OpenTrainer(folder, settings, history=HISTORY)


def old_then_new(old: int, new: int, slots: Sequence[int] = (BEE,)) -> list[FeatureBatch]:
    """Batches of the exported classes, then some with a new one."""
    before = [make_message(seq) for seq in range(1, old + 1)]
    numbers = range(old + 1, old + new + 1)
    return before + [make_message(seq, slots=slots, version=2) for seq in numbers]


def life_of_classes() -> list[FeatureBatch]:
    """A stream in which every change of the class map happens, older batches in between."""
    messages = old_then_new(6, 4, (0, 1, 2, BEE))
    messages += [make_message(11), make_message(12, slots=(0, BEE), version=3)]
    messages += [make_message(seq, slots=(0, 1), version=4) for seq in (13, 14)]
    messages += [make_message(15, slots=(BEE, 0), version=2)]  # the bee's last, come late
    messages += [make_message(seq, slots=(0, BEE), version=5) for seq in (16, 17, 18)]
    messages += [make_message(19, held_out=True, slots=(1, BEE), version=5)]
    return messages


def accuracy(one: OpenTrainer, slots: Sequence[int]) -> float:
    """Of the final exit, on samples that nobody trained on."""
    batch = checked(make_message(999, slots=slots, version=2, samples=200))
    return float((one.learner.predict(batch.features) == batch.labels).mean())


def open_slots(one: OpenTrainer) -> tuple[int, ...] | None:
    assert one.trainer.progress.open_slots == one.learner.open_slots
    return one.trainer.progress.open_slots


def row(state: dict[str, Tensor], slot: int) -> Tensor:
    return torch.cat([state[ROW][slot], state[BIAS][slot : slot + 1]])


def test_a_new_class_is_known_after_a_few_batches_and_the_others_still_are(tmp_path: Path) -> None:
    write_log(tmp_path, *old_then_new(60, 30))
    with opened(tmp_path) as one:
        one.consume(60)
        before = accuracy(one, (0, 1, 2))
        assert open_slots(one) == (0, 1, 2)
        assert accuracy(one, (BEE,)) == 0
        one.consume(30)
        progress = one.trainer.progress
        assert (progress.class_map_version, progress.open_slots) == (2, (0, 1, 2, BEE))
        assert accuracy(one, (BEE,)) > 0.6
        assert accuracy(one, (0, 1, 2)) > before - 0.1


def test_without_replay_and_adjustment_the_others_are_forgotten(tmp_path: Path) -> None:
    write_log(tmp_path, *old_then_new(60, 60))
    kept = {}
    for name, settings in (
        ("default", RARELY_SAVED),
        ("naive", replace(RARELY_SAVED, replay=0, logit_adjustment=0.0)),
    ):
        with opened(tmp_path, settings) as one:
            one.consume_all()
            kept[name] = accuracy(one, (0, 1, 2))
    assert kept["naive"] < 0.3
    assert kept["default"] > 0.6


@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "batches", "plain"])
def test_resumed_anywhere_in_the_life_of_classes_it_gives_the_same_weights(
    tmp_path: Path, settings: TrainerSettings
) -> None:
    messages = life_of_classes()
    write_log(tmp_path, *messages)
    with opened(tmp_path, settings) as one:
        one.consume_all()
        wanted, progress = one.state(), one.trainer.progress
    for start, stop in pairwise((0, 5, 7, 11, 12, 13, 15, 16, 18, len(messages))):
        with opened(tmp_path, settings) as one:
            assert one.trainer.progress.turn == start
            one.consume(stop - start)
            one.trainer.save()
    with opened(tmp_path, settings) as one:
        assert_same_bits(one.state(), wanted)
        assert one.trainer.progress == progress
        assert one.learner.open_slots == (0, 1, BEE)


def test_a_merged_class_is_closed_and_its_samples_are_the_others(tmp_path: Path) -> None:
    write_log(
        tmp_path,
        *old_then_new(8, 2, (0, 1, 2, BEE)),
        make_message(11, slots=(0, 1), version=3),
        make_message(12, slots=(2,)),  # from a device that has not heard of it
    )
    with opened(tmp_path) as one:
        one.consume(11)
        assert open_slots(one) == (0, 1, BEE)
        trained = one.trainer.progress.trained_total
        one.consume(1)
        progress = one.trainer.progress
        assert (progress.trained_total, progress.left_out_total) == (trained + 1, 0)
        assert open_slots(one) == (0, 1, BEE)
        probabilities = one.learner.probabilities([checked(make_message(1)).features])
        assert (probabilities[:, 2] == 0).all()


def test_a_retired_class_is_closed_and_the_next_in_its_slot_begins_anew(tmp_path: Path) -> None:
    write_log(
        tmp_path,
        *old_then_new(6, 10, (0, BEE)),
        make_message(17, slots=(0, 1), version=4),
        make_message(18, slots=(0, BEE), version=2),
        make_message(19, slots=(0, BEE), version=5),
    )
    with opened(tmp_path, replace(RARELY_SAVED, imprint=False)) as one:
        fresh = row(one.state(), BEE)
        one.consume(16)
        known = row(one.state(), BEE)
        assert not torch.equal(known, fresh)
        one.consume(1)
        assert open_slots(one) == (0, 1)
        state = one.state()
        renewed = row(state, BEE)
        assert not torch.equal(renewed, known)
        assert renewed.abs().max() <= 8**-0.5
        assert (state[f"{ROW}/exp_avg_sq"][BEE] == 0).all()
        assert torch.equal(state[f"module.{ROW}"][BEE], state[ROW][BEE])
        late = sum(label == BEE for label in make_message(18, slots=(0, BEE)).labels)
        one.consume(1)
        assert open_slots(one) == (0, 1)
        assert one.trainer.progress.left_out_total == late > 0
        assert one.trainer.progress.of("pi-1").left_out_total == late
        assert torch.equal(row(one.state(), BEE), renewed)
        one.consume(1)
        assert open_slots(one) == (0, 1, BEE)
        assert not torch.equal(row(one.state(), BEE), renewed)


def test_a_class_by_name_is_trained_on_from_the_version_that_has_it(tmp_path: Path) -> None:
    by_name = [NEW_CLASS, NEW_CLASS + 1, 0]
    write_log(
        tmp_path,
        make_message(1),
        make_message(2, slots=by_name, version=1, new_classes=("bee", "wasp")),
        make_message(3, slots=by_name, version=2, new_classes=("bee", "wasp")),
        make_message(4, slots=by_name[1:2], version=2, new_classes=("ant", "wasp")),
        make_message(5, held_out=True, slots=by_name[1:2], version=2, new_classes=("ant", "wasp")),
    )
    named = [np.array(make_message(seq, slots=by_name).labels) for seq in (2, 3)]
    with opened(tmp_path) as one:
        one.consume(2)
        assert open_slots(one) == (0, 1, 2)
        assert one.trainer.progress.left_out_total == (named[0] >= NEW_CLASS).sum()
        one.consume(1)
        assert open_slots(one) == (0, 1, 2, BEE)
        left_out = (named[0] >= NEW_CLASS).sum() + (named[1] == NEW_CLASS + 1).sum()
        assert one.trainer.progress.left_out_total == left_out
        one.consume(2)
        progress = one.trainer.progress
        assert one.skipped == [4]
        assert (progress.trained_total, progress.skipped_total) == (3, 1)
        assert progress.left_out_total == left_out + 2 * SAMPLES
        assert progress.of("pi-1").rounds is None


def test_a_class_map_that_was_never_made_skips_the_batch(tmp_path: Path) -> None:
    write_log(tmp_path, make_message(1), make_message(2, version=6), make_message(3))
    for settings in SETTINGS:
        with opened(tmp_path, settings) as one:
            one.consume_all()
            assert one.skipped == [2]
            assert one.trainer.progress.class_map_version == 1


def test_without_a_registry_other_classes_than_the_exported_are_left_out(tmp_path: Path) -> None:
    write_log(tmp_path, make_message(1), make_message(2, slots=(0, BEE)))
    with OpenTrainer(tmp_path, RARELY_SAVED) as one:
        one.consume_all()
        progress = one.trainer.progress
    assert progress.open_slots == tuple(range(len(CLASSES)))
    assert 0 < progress.left_out_total < SAMPLES


def test_held_out_samples_are_measured_by_the_classes_of_now(tmp_path: Path) -> None:
    held_out = make_message(3, held_out=True, slots=(2,))
    held_out.early_exit[:] = [2] * 5 + [1] * 3
    write_log(tmp_path, make_message(1), make_message(2, slots=(0, 1), version=3), held_out)
    with opened(tmp_path) as one:
        one.consume_all()
        rounds = one.trainer.progress.of("pi-1").rounds
        evaluation = one.trainer.confusion.evaluation(MERGED)
    assert rounds is not None
    assert (rounds.newest.samples, rounds.newest.early_exit_correct) == (SAMPLES, 5)
    assert evaluation is not None
    assert evaluation.early_exit[0].tolist() == [5, 3, 0]  # the owls are cats


def test_a_step_that_is_skipped_leaves_the_slot_closed(tmp_path: Path) -> None:
    write_log(tmp_path, make_message(1), make_message(2, slots=(0, BEE), version=2, scale=1e28))
    with opened(tmp_path) as one:
        one.consume(1)
        before = one.state()
        one.consume(1)
        assert one.skipped == [2]
        assert open_slots(one) == (0, 1, 2)
        assert_same_bits(one.state(), before)


def test_the_new_row_is_imprinted_in_what_trains_and_in_what_predicts(tmp_path: Path) -> None:
    write_log(tmp_path, *old_then_new(30, 1, (0, 1, 2, BEE)))
    first = {}
    for imprint in (True, False):
        with opened(tmp_path, replace(RARELY_SAVED, imprint=imprint)) as one:
            one.consume(30)
            trained = one.learner.module.state_dict()[ROW][BEE].clone()
            one.consume(1)
            first[imprint] = accuracy(one, (BEE,))
            moved = (one.learner.module.state_dict()[ROW][BEE] - trained).abs().max()
            assert (moved > 0.05) == imprint  # a step alone moves it by 0.01 or so
    assert first[True] > first[False] + 0.3


def test_a_network_without_a_last_linear_layer_opens_slots_too() -> None:
    torch.manual_seed(0)
    pooled = nn.Sequential(nn.Conv2d(4, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    learner = CloudLearner(pooled, MANIFEST, 1e-2)
    before = pooled.state_dict()["0.weight"].clone()
    outcome = learner.learn(checked(make_message(1, slots=(0, BEE))))
    assert isinstance(outcome, Learned)
    assert learner.slots.now == (0, 1, 2, BEE)
    assert (pooled.state_dict()["0.weight"] - before).abs().max() < 0.02
    learner.slots.close([BEE], seed=1)
    assert BEE not in learner.open_slots
    harmful = checked(make_message(2, slots=(0, BEE), scale=1e28))
    assert isinstance(learner.learn(harmful), Skipped)
    assert BEE not in learner.open_slots
