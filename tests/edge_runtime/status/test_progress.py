import json
import math

import numpy as np
import pytest
from hiertk_edge.learner import StepResult
from hiertk_edge.status.report import Reporter, human_line, json_line, outcome_json, print_outcome
from hiertk_edge.training.progress import Progress
from hiertk_edge.watch import Outcome
from hiertk_protocol.hiertk_pb2 import DeviceStatus


def progress_of(losses: list[float]) -> Progress:
    progress = Progress(edge_step=0)
    for step, loss in enumerate(losses, 1):
        features = np.zeros((2, 1, 1, 1), np.float32)
        logits = np.array([[1, 0], [1, 0]], np.float32)
        labels = np.array([0, step % 2], np.int64)
        progress.add(StepResult(loss, features, logits), labels, edge_step=step, step_ms=loss)
    return progress


def test_means_are_over_the_newest_50_steps() -> None:
    status = progress_of([100.0] * 10 + [1.0, 3.0] * 25).status(DeviceStatus.TRAINING)
    assert status.early_exit_loss == pytest.approx(2)
    assert status.step_ms == pytest.approx(2)
    assert status.early_exit_accuracy == pytest.approx(0.75)
    assert status.edge_step == 60
    assert math.isnan(status.early_exit_held_out_accuracy)


def test_lines_tell_unknown_numbers_as_such() -> None:
    status = Progress(3).status(DeviceStatus.TRAINING)
    assert human_line(status).startswith("training  step 3  loss -  accuracy -  spool 0")
    told = json.loads(json_line(status))
    assert (told["state"], told["early_exit_loss"]) == ("TRAINING", None)


def test_progress_is_paced_but_a_new_state_is_told_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = Reporter(human_line, every_s=60)
    for state in (DeviceStatus.TRAINING,) * 3 + (DeviceStatus.DRAINING,) * 3:
        reporter.show(DeviceStatus(state=state))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["training", "draining"]


def test_what_trains_and_waits_in_turn_fills_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(human_line, every_s=60)
    for step in range(5):
        reporter.show(DeviceStatus(state=DeviceStatus.TRAINING, edge_step=step))
        reporter.show(DeviceStatus(state=DeviceStatus.WAITING, edge_step=step))
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_line_that_says_nothing_new_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(human_line, every_s=0)
    for step in (1, 1, 1, 2, 2):
        reporter.show(DeviceStatus(state=DeviceStatus.WAITING, edge_step=step))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_end_is_a_table_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    status = progress_of([1.0]).status(DeviceStatus.FINISHED)
    outcome = Outcome(finished=True, status=status, seconds=1.23456)
    print_outcome(outcome)
    table = capsys.readouterr().out
    assert "Finished" in table
    assert "edge steps" in table
    told = json.loads(outcome_json(outcome))
    assert (told["event"], told["finished"], told["seconds"]) == ("summary", True, 1.235)
