"""Held-out accuracy: rounds per device, and their mean over devices."""

import math

from hiertk_cloud.training.held_out import DeviceRounds, Round, mean_accuracies


def part(edge_step: int, correct: int, samples: int = 10) -> Round:
    return Round(
        edge_step=edge_step, samples=samples, final_exit_correct=correct, early_exit_correct=1
    )


def rounds(*parts: Round) -> DeviceRounds:
    device = DeviceRounds(newest=parts[0])
    for one in parts[1:]:
        device = device.after(one)
    return device


def test_batches_of_one_edge_step_are_one_round() -> None:
    assert rounds(part(5, 4), part(5, 8)).counting == Round(
        edge_step=5, samples=20, final_exit_correct=12, early_exit_correct=2
    )


def test_a_round_counts_once_it_is_as_large_as_the_one_before() -> None:
    device = rounds(part(5, 4), part(5, 4), part(9, 8))
    assert device.counting.edge_step == 5
    assert device.after(part(9, 8)).counting.edge_step == 9


def test_each_device_counts_alike() -> None:
    accuracies = mean_accuracies([rounds(part(1, 5)), rounds(part(1, 100, 100))])
    assert accuracies.final_exit == 0.75
    assert math.isclose(accuracies.early_exit, (0.1 + 0.01) / 2)


def test_nothing_measured_is_not_a_number() -> None:
    assert math.isnan(mean_accuracies([]).final_exit)
