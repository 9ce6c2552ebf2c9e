"""Devices whose loss stays far above their peers'."""

from hiertk_cloud.suspects import suspects
from hiertk_cloud.training.progress import DeviceProgress


def device(loss: float | None, trained: int = 100) -> DeviceProgress:
    return DeviceProgress(trained_total=trained, final_exit_loss=loss)


PEERS = {f"pi-{number}": device(0.5 + 0.02 * number) for number in range(5)}


def test_a_device_far_above_the_others_is_suspect() -> None:
    assert suspects({**PEERS, "odd": device(2.3)}) == {"odd"}


def test_devices_that_are_alike_are_not() -> None:
    assert suspects(PEERS) == frozenset()
    assert suspects({f"{n}": device(0.5) for n in range(5)} | {"near": device(0.6)}) == frozenset()


def test_a_device_that_has_trained_little_is_not_judged() -> None:
    assert suspects({**PEERS, "new": device(2.3, trained=10)}) == frozenset()
    assert suspects({**PEERS, "silent": device(None)}) == frozenset()


def test_three_devices_are_too_few_to_compare() -> None:
    few = {"a": device(0.5), "b": device(0.5), "odd": device(9.0)}
    assert suspects(few) == frozenset()


def test_a_low_loss_is_no_fault() -> None:
    assert suspects({**PEERS, "good": device(0.01)}) == frozenset()


def test_a_running_mean_forgets_slowly_and_one_bad_batch_makes_no_suspect() -> None:
    good = DeviceProgress()
    for _ in range(100):
        good = good.learned(0.5, 0.6)
    one_bad = good.learned(5.0, 5.0)
    assert suspects({**{f"{n}": good for n in range(4)}, "one-bad": one_bad}) == frozenset()
    for _ in range(60):
        one_bad = one_bad.learned(5.0, 5.0)
    assert suspects({**{f"{n}": good for n in range(4)}, "bad": one_bad}) == {"bad"}
