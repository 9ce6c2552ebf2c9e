"""The schedule "replay": what the trainer does with its log while nothing new waits."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cloud_service.cloud_parts import (
    MANIFEST,
    OpenTrainer,
    accepted,
    assert_same_bits,
    make_message,
    write_log,
)
from cloud_service.log_parts import query
from hiertk_cloud.log import DurableLog, LogReader
from hiertk_cloud.training.again import Again
from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.progress import Progress
from hiertk_cloud.training.trainer import TrainerSettings
from hiertk_protocol.class_map import exported_map
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from torch import Tensor

BATCHES = 12
STREAM = TrainerSettings(checkpoint_every=1_000_000)
REPLAY = replace(STREAM, schedule="replay", passes=4)
HELD_OUT_STEP = 9


def training_messages() -> list[FeatureBatch]:
    return [make_message(seq) for seq in range(1, BATCHES + 1)]


def held_out_messages() -> list[FeatureBatch]:
    """Two batches of one round."""
    return [
        make_message(seq, held_out=True, edge_step=HELD_OUT_STEP)
        for seq in range(BATCHES + 1, BATCHES + 3)
    ]


def append(folder: Path, *messages: FeatureBatch) -> None:
    with closing(DurableLog(folder / "log.sqlite", MANIFEST.bundle_id)) as log:
        log.append([accepted(message) for message in messages])
        while log.give_turns():
            pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_log(tmp_path, *training_messages(), *held_out_messages())
    return tmp_path


def finish(folder: Path, settings: TrainerSettings = REPLAY) -> OpenTrainer:
    with OpenTrainer(folder, settings) as one:
        one.go_over_all()
        return one


def weights(folder: Path) -> dict[str, Tensor]:
    return finish(folder).state()


def test_with_stream_it_only_waits(folder: Path) -> None:
    with OpenTrainer(folder, STREAM) as one:
        one.consume_all()
        assert one.trainer.again() is False


def test_each_batch_is_trained_on_so_many_times(folder: Path) -> None:
    progress = finish(folder).trainer.progress
    again = (REPLAY.passes - 1) * BATCHES
    assert (progress.trained_total, progress.replayed_total) == (BATCHES, again)
    assert progress.cloud_step == BATCHES + again // 2, "two batches to a step"


def test_each_pass_takes_every_batch_in_an_order_of_its_own(folder: Path) -> None:
    with closing(LogReader(folder / "log.sqlite")) as reader:
        again = Again(BatchSource(reader, MANIFEST), REPLAY)
        passes: list[list[int]] = [[]]
        progress = Progress(turn=BATCHES)
        while numbers := again.to_train(progress):
            if len(passes[-1]) == BATCHES:
                passes.append([])
            passes[-1] += numbers
            replayed = progress.replayed_total + len(numbers)
            progress = progress.model_copy(update={"replayed_total": replayed})
    assert len(passes) == REPLAY.passes - 1
    assert all(sorted(one) == list(range(1, BATCHES + 1)) for one in passes)
    assert passes[0] != passes[1] != passes[2]


def test_of_few_batches_it_learns_more_than_in_one_pass(tmp_path: Path) -> None:
    write_log(tmp_path, *training_messages()[:2], *held_out_messages())
    once, often = (
        finish(tmp_path, settings).trainer.progress.of("pi-1").rounds
        for settings in (STREAM, replace(REPLAY, passes=40))
    )
    assert once is not None
    assert often is not None
    assert once.counting.final_exit_correct < 12
    assert often.counting.final_exit_correct == 16


def test_the_held_out_round_is_measured_again_and_counts_once(folder: Path) -> None:
    with OpenTrainer(folder, REPLAY) as one:
        one.consume_all()
        before = one.trainer.progress.of("pi-1").rounds
        one.go_over_all()
        rounds = one.trainer.progress.of("pi-1").rounds
        evaluation = one.trainer.confusion.evaluation(exported_map(MANIFEST.classes))
    assert before is not None
    assert rounds is not None
    assert evaluation is not None
    assert rounds.counting.samples == before.counting.samples == int(evaluation.samples.sum())
    assert rounds.counting.edge_step == HELD_OUT_STEP
    assert rounds.counting.final_exit_correct == int(evaluation.final_exit.trace())


@pytest.mark.parametrize("stop_at", [1, 7, 14, 18, 26])
def test_stopped_anywhere_and_resumed_it_gives_the_same_weights(folder: Path, stop_at: int) -> None:
    wanted = weights(folder)
    with OpenTrainer(folder, REPLAY) as one:
        for _ in range(stop_at):
            assert one.trainer.advance() or one.trainer.again()
        one.trainer.save()
    resumed = finish(folder)
    assert_same_bits(resumed.state(), wanted)
    assert resumed.trainer.progress.replayed_total == (REPLAY.passes - 1) * BATCHES


def test_what_comes_later_goes_first_and_is_gone_over_too(folder: Path) -> None:
    with OpenTrainer(folder, REPLAY) as one:
        one.consume_all()
        for _ in range(3):
            assert one.trainer.again()
        append(folder, *(make_message(seq) for seq in range(20, 24)))
        assert one.trainer.advance()
        one.go_over_all()
        progress = one.trainer.progress
    assert progress.trained_total == BATCHES + 4
    assert progress.replayed_total >= (REPLAY.passes - 1) * (BATCHES + 4)


def test_it_keeps_to_the_replay_window(folder: Path) -> None:
    progress = finish(folder, replace(REPLAY, replay_window=5)).trainer.progress
    assert progress.replayed_total == (REPLAY.passes - 1) * 5


def test_a_batch_that_was_damaged_meanwhile_is_passed_over(folder: Path) -> None:
    with OpenTrainer(folder, REPLAY) as one:
        one.consume_all()
        one.trainer.save()
    query(
        folder / "log.sqlite",
        "UPDATE batches SET checksum = checksum + 1 WHERE train_number IN (3, 4)",
    )
    progress = finish(folder).trainer.progress
    assert progress.replayed_total == (REPLAY.passes - 1) * BATCHES
    assert progress.skipped_total == 0


def test_a_round_that_is_not_the_newest_any_more_is_left_alone(folder: Path) -> None:
    with OpenTrainer(folder, REPLAY) as one:
        one.consume_all()
        while one.trainer.progress.replayed_total < BATCHES:
            assert one.trainer.again()
        assert one.trainer.again(), "the first batch of the old round"
        newer = make_message(30, held_out=True, edge_step=HELD_OUT_STEP + 1)
        append(folder, newer)
        assert one.trainer.advance()
        one.go_over_all()
        rounds = one.trainer.progress.of("pi-1").rounds
    assert rounds is not None
    assert rounds.newest.edge_step == HELD_OUT_STEP + 1
    assert rounds.newest.samples == len(newer.labels)
