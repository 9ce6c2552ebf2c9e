"""The trainer: each batch has its effect once, wherever it was interrupted; none can do harm."""

import json
import math
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from cloud_service.cloud_parts import (
    MANIFEST,
    OpenTrainer,
    accepted,
    assert_same_bits,
    checked,
    make_message,
    make_module,
    write_log,
)
from cloud_service.log_parts import query
from hiertk_cloud.log import DurableLog
from hiertk_cloud.training.batches import draw_replay
from hiertk_cloud.training.trainer import TrainerSettings
from hiertk_protocol.codec import dequantize
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

BATCHES = 24
REPLAY = TrainerSettings(replay=2, checkpoint_every=1_000_000)
PLAIN = TrainerSettings(replay=0, logit_adjustment=0.0)
AS_BEFORE = TrainerSettings(
    replay=2, replay_balance="none", logit_adjustment=0.0, checkpoint_every=1_000_000
)
BATCHWISE = TrainerSettings(replay=2, replay_balance="none", checkpoint_every=1_000_000)
DIVERGED = 1e28  # squares of it overflow float32


def mixed_messages() -> list[FeatureBatch]:
    """Training batches, every fifth one held out, and one that would poison the weights."""
    return [
        make_message(seq, held_out=seq % 5 == 0, scale=DIVERGED if seq == 7 else 1.0)
        for seq in range(1, BATCHES + 1)
    ]


@pytest.fixture
def mixed_log(tmp_path: Path) -> Path:
    write_log(tmp_path, *mixed_messages())
    return tmp_path


def uninterrupted(folder: Path, settings: TrainerSettings = REPLAY) -> dict[str, Tensor]:
    with OpenTrainer(folder, settings) as one:
        one.consume_all()
        return one.state()


def test_without_replay_it_equals_a_plain_loop(tmp_path: Path) -> None:
    messages = [make_message(seq) for seq in range(1, 11)]
    write_log(tmp_path, *messages)
    with OpenTrainer(tmp_path, PLAIN) as one:
        one.consume_all()
        trained = one.learner.module.state_dict()

    module = make_module().train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, weight_decay=0.0, fused=True)
    bias = torch.from_numpy(MANIFEST.classes.bias())
    for position, message in enumerate(messages, 1):
        batch = checked(message)
        torch.manual_seed(position)
        logits = module(torch.from_numpy(dequantize(batch.features)).clone()) + bias
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert_same_bits(trained, module.state_dict())


def test_it_learns_and_leaves_free_slots_alone(tmp_path: Path) -> None:
    write_log(tmp_path, *(make_message(seq) for seq in range(1, 61)))
    with OpenTrainer(tmp_path, REPLAY) as one:
        one.consume(10)
        early = one.trainer.measures.loss
        before = one.learner.module.state_dict()["7.weight"][3:].clone()
        one.consume_all()
        assert one.trainer.measures.loss < 0.7 * early
        assert one.trainer.measures.accuracy > 0.6
        assert one.trainer.measures.step_ms > 0
        assert torch.equal(one.learner.module.state_dict()["7.weight"][3:], before)


@pytest.mark.parametrize("stops", [(1,), (6,), (7,), (12, 13, 20), tuple(range(1, BATCHES))])
def test_stopped_anywhere_and_resumed_it_gives_the_same_weights(
    mixed_log: Path, stops: tuple[int, ...]
) -> None:
    wanted = uninterrupted(mixed_log)
    for start, stop in pairwise((0, *stops, BATCHES)):
        with OpenTrainer(mixed_log, REPLAY) as one:
            assert one.trainer.progress.turn == start
            one.consume(stop - start)
            one.trainer.save()
    with OpenTrainer(mixed_log, REPLAY) as one:
        assert_same_bits(one.state(), wanted)
        assert one.trainer.advance() is False
        progress = one.trainer.progress
    assert (progress.turn, progress.trained_total, progress.skipped_total) == (BATCHES, 19, 1)


@pytest.mark.parametrize(
    ("killed_at", "whole"),
    [(3, REPLAY), (5, BATCHWISE), (11, REPLAY), (11, BATCHWISE), (23, REPLAY)],
)
def test_killed_between_checkpoints_it_repeats_from_the_last_one(
    mixed_log: Path, killed_at: int, whole: TrainerSettings
) -> None:
    settings = replace(whole, checkpoint_every=5)
    with OpenTrainer(mixed_log, settings) as killed:
        killed.consume(killed_at)
        assert killed.trainer.progress.turn == killed_at
    with OpenTrainer(mixed_log, settings) as resumed:
        assert resumed.trainer.progress.turn < killed_at
        resumed.consume_all()
        state, progress = resumed.state(), resumed.trainer.progress
    (mixed_log / "checkpoint.safetensors").unlink(missing_ok=True)
    assert_same_bits(state, uninterrupted(mixed_log, whole))
    # One of the 20 is skipped; those that draw it again, as whole batches, are trained on alone.
    assert any(6 in draw_replay(number, 2, 0, 4096) for number in range(7, 21))
    assert (progress.cloud_step, progress.trained_total) == (19, 19)


@pytest.mark.parametrize("settings", [REPLAY, BATCHWISE], ids=["samples", "batches"])
@pytest.mark.parametrize("cache_bytes", [0, 3000])
def test_what_replay_keeps_in_memory_changes_nothing(
    mixed_log: Path, settings: TrainerSettings, cache_bytes: int
) -> None:
    with OpenTrainer(mixed_log, settings, cache_bytes=cache_bytes) as one:
        one.consume_all()
        assert_same_bits(one.state(), uninterrupted(mixed_log, settings))


def test_replay_draws_earlier_batches_and_the_same_every_time() -> None:
    assert draw_replay(1, 4, seed=0, window=90) == []
    assert draw_replay(9, 0, seed=0, window=90) == []
    draws = [draw_replay(number, 4, seed=0, window=90) for number in range(2, 100)]
    assert draws == [draw_replay(number, 4, seed=0, window=90) for number in range(2, 100)]
    assert all(1 <= one < number for number, draw in enumerate(draws, 2) for one in draw)
    assert len({one for draw in draws for one in draw}) > 70
    newest = [draw_replay(number, 4, seed=0, window=5) for number in range(2, 100)]
    assert all(number - 5 <= one for number, draw in enumerate(newest, 2) for one in draw)


@pytest.mark.parametrize(
    "harmful", [make_message(2, scale=DIVERGED), make_message(2, samples=1)], ids=["inf", "single"]
)
def test_a_batch_that_would_do_harm_changes_nothing_and_is_counted(
    tmp_path: Path, harmful: FeatureBatch
) -> None:
    write_log(tmp_path, make_message(1), harmful, make_message(3))
    with OpenTrainer(tmp_path, PLAIN) as one:
        one.consume(1)
        before = one.state()
        one.consume(1)
        assert_same_bits(one.state(), before)
        assert one.skipped == [2]
        one.consume(1)
        assert one.trainer.progress.cloud_step == 2
        assert one.trainer.progress.trained_total == 2
        assert one.trainer.progress.skipped_total == 1
        assert all(torch.isfinite(tensor).all() for tensor in one.state().values())


def test_a_gradient_that_is_not_finite_is_not_applied(tmp_path: Path) -> None:
    write_log(tmp_path, make_message(1))
    with OpenTrainer(tmp_path, PLAIN) as one:
        last = one.learner.module.get_submodule("7").get_parameter("weight")
        last.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: gradient * torch.inf
        )
        before = one.state()
        one.consume(1)
        assert one.skipped == [1]
        assert_same_bits(one.state(), before)


def test_held_out_batches_are_measured_and_not_trained_on(tmp_path: Path) -> None:
    held_out = [make_message(seq, held_out=True, edge_step=9) for seq in (41, 42)]
    write_log(tmp_path, *(make_message(seq) for seq in range(1, 41)), *held_out)
    with OpenTrainer(tmp_path, PLAIN) as one:
        one.consume(40)
        before = one.state()
        one.consume_all()
        assert_same_bits(one.state(), before)
        progress = one.trainer.progress
    assert (progress.turn, progress.trained_total, progress.cloud_step) == (42, 40, 40)
    rounds = progress.of("pi-1").rounds
    assert rounds is not None
    newest = rounds.newest
    labels = [label for message in held_out for label in message.labels]
    assert (newest.edge_step, newest.samples) == (9, len(labels))
    assert newest.early_exit_correct == labels.count(0)
    assert newest.final_exit_correct > 12


def test_measures_are_not_numbers_before_the_first_batch(tmp_path: Path) -> None:
    write_log(tmp_path)
    with OpenTrainer(tmp_path) as one:
        assert not one.trainer.advance()
        assert math.isnan(one.trainer.measures.loss)
        one.trainer.save()
    assert not (tmp_path / "checkpoint.safetensors").exists()


@pytest.fixture
def checkpoint(mixed_log: Path) -> Path:
    with OpenTrainer(mixed_log, REPLAY) as one:
        one.consume(4)
        one.trainer.save()
    return mixed_log / "checkpoint.safetensors"


def rewrite(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    with safe_open(path, "pt") as file:
        old = file.metadata()
    save_file({**load_file(path), **tensors}, path, {**old, **metadata})


def make_older(path: Path, metadata: dict[str, str]) -> None:
    """Take out what the checkpoints of older formats did not have."""
    tensors = load_file(path)
    kept = {
        name: one for name, one in tensors.items() if not name.startswith(("replay/", "recent/"))
    }
    assert len(kept) < len(tensors)
    save_file(kept, path, {"bundle_id": MANIFEST.bundle_id.hex(), **metadata})


def test_a_checkpoint_of_another_bundle_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match="choose another --state"):
        OpenTrainer(checkpoint.parent, bundle_id=bytes(32))


def test_a_checkpoint_ahead_of_the_log_is_refused(checkpoint: Path) -> None:
    for name in ("log.sqlite", "log.sqlite-wal", "log.sqlite-shm"):
        (checkpoint.parent / name).unlink(missing_ok=True)
    write_log(checkpoint.parent, make_message(1))
    with pytest.raises(StorageError, match="consumed 4 batches, the log beside it has given 1"):
        OpenTrainer(checkpoint.parent)


def test_a_damaged_checkpoint_is_refused(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], b"\xff" * 5000, whole + bytes(32 << 20)):
        checkpoint.write_bytes(damaged)
        with pytest.raises(StorageError, match="remove it to train again"):
            OpenTrainer(checkpoint.parent)


@pytest.mark.parametrize(
    ("tensors", "metadata", "reason"),
    [
        ({}, {"format": "hiertk-cloud checkpoint 4"}, "checkpoint 4"),
        ({}, {"progress": '{"turn": -1}'}, "its progress is damaged"),
        ({"module/extra": torch.zeros(1)}, {}, "1 tensors missing or unknown"),
        ({"module/7.bias": torch.zeros(9)}, {}, r"module/7.bias is torch.float32 \(9,\)"),
        ({"module/7.bias": torch.zeros(8).double()}, {}, "is torch.float64"),
        ({"replay/slot": torch.full((4096,), 8)}, {}, "of earlier batches is damaged"),
        ({"replay/row": torch.full((4096,), -1)}, {}, "of earlier batches is damaged"),
        ({"recent/counts": torch.full((8,), math.nan).double()}, {}, "earlier batches is damaged"),
        ({}, {"progress": '{"open_slots": [0, 8]}'}, "a class slot beyond the bundle's"),
        ({}, {"progress": '{"class_map_version": 2}'}, "knows class map 2, .* registry is 1"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    checkpoint: Path, tensors: dict[str, Tensor], metadata: dict[str, str], reason: str
) -> None:
    rewrite(checkpoint, tensors, metadata)
    with pytest.raises(StorageError, match=reason):
        OpenTrainer(checkpoint.parent)


def test_a_stale_batch_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with closing(DurableLog(path, MANIFEST.bundle_id)) as log:
        log.append([accepted(make_message(seq, edge_step=100 * seq)) for seq in (1, 2, 3)])
        log.give_turns(stale_after=150)
    with OpenTrainer(tmp_path, PLAIN) as one:
        one.consume_all()
        progress = one.trainer.progress
    assert (progress.turn, progress.trained_total, progress.stale_total) == (3, 2, 1)
    assert progress.of("pi-1").stale_total == 1


def test_a_damaged_entry_is_skipped_and_never_replayed(mixed_log: Path) -> None:
    query(mixed_log / "log.sqlite", "UPDATE messages SET message = zeroblob(9) WHERE position = 2")
    query(mixed_log / "log.sqlite", "DELETE FROM batches WHERE position = 9")
    with OpenTrainer(mixed_log, REPLAY) as one:
        one.consume_all()
        progress = one.trainer.progress
    assert one.skipped == [2, 7, 9]
    assert (progress.turn, progress.skipped_total) == (BATCHES, 3)


def test_a_reference_to_a_sample_that_is_not_there_is_forgotten(checkpoint: Path) -> None:
    rewrite(checkpoint, {"replay/row": torch.full((4096,), 99)}, {})
    with OpenTrainer(checkpoint.parent, REPLAY) as one:
        one.consume_all()
        assert one.trainer.progress.trained_total == 19


@pytest.fixture
def old_checkpoint(mixed_log: Path) -> Path:
    with OpenTrainer(mixed_log, AS_BEFORE) as one:
        one.consume(4)
        one.trainer.save()
    return mixed_log / "checkpoint.safetensors"


def test_a_checkpoint_of_format_1_goes_on(old_checkpoint: Path) -> None:
    rounds = {"newest": dict.fromkeys(("edge_step", "final_exit_correct", "early_exit_correct"), 1)}
    rounds["newest"]["samples"] = 8
    before = {
        "position": 4,
        "cloud_step": 4,
        "trained_total": 4,
        "skipped_total": 0,
        "devices": {"pi-1": {**rounds, "previous": None}},
    }
    metadata = {"format": "hiertk-cloud checkpoint 1", "progress": json.dumps(before)}
    make_older(old_checkpoint, metadata)
    with OpenTrainer(old_checkpoint.parent, AS_BEFORE) as one:
        assert (one.trainer.progress.turn, one.trainer.progress.cloud_step) == (4, 4)
        held_out = one.trainer.progress.of("pi-1").rounds
        assert held_out is not None
        assert held_out.counting.samples == 8
        one.consume_all()
        assert_same_bits(one.state(), uninterrupted_beside(old_checkpoint))


def test_a_checkpoint_of_format_2_goes_on(old_checkpoint: Path) -> None:
    before = {"turn": 4, "cloud_step": 4, "trained_total": 4, "skipped_total": 0, "stale_total": 0}
    metadata = {"format": "hiertk-cloud checkpoint 2", "progress": json.dumps(before)}
    make_older(old_checkpoint, metadata)
    with OpenTrainer(old_checkpoint.parent, AS_BEFORE) as one:
        assert one.trainer.progress.turn == 4
        assert one.trainer.progress.open_slots == (0, 1, 2)
        one.consume_all()
        assert_same_bits(one.state(), uninterrupted_beside(old_checkpoint))


def uninterrupted_beside(checkpoint: Path) -> dict[str, Tensor]:
    checkpoint.rename(checkpoint.with_suffix(".aside"))
    return uninterrupted(checkpoint.parent, AS_BEFORE)
