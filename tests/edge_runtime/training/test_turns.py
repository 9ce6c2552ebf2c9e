import threading

import pytest
from hiertk_edge.training.turns import Turns
from mqtt_client import wait_until


def test_turns_are_taken_in_the_order_in_which_they_were_asked_for() -> None:
    turns, order, threads = Turns(), [], []

    def take(number: int) -> None:
        with turns.turn():
            order.append(number)

    with turns.turn():
        for number in range(8):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            wait_until(lambda: len(turns._waiting) == number + 1)  # noqa: B023
        assert order == []
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_one_that_waits_comes_before_one_that_asks_again_and_again() -> None:
    turns, stop = Turns(), threading.Event()
    steps: list[int] = []

    def train() -> None:
        while not stop.is_set():
            with turns.turn():
                steps.append(len(steps))

    trainer = threading.Thread(target=train)
    trainer.start()
    wait_until(lambda: len(steps) > 10)
    waited = []
    for _ in range(200):
        before = len(steps)
        with turns.turn():
            waited.append(len(steps) - before)
    stop.set()
    trainer.join()
    # Between reading the count and asking, steps may pass; once it has asked, one at most.
    assert sorted(waited)[100] <= 1


def test_a_turn_that_fails_is_handed_on() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        assert 1 / 0
    with turns.turn():
        pass


def test_no_two_hold_it_at_once() -> None:
    turns, held, most = Turns(), [0], [0]

    def take() -> None:
        for _ in range(500):
            with turns.turn():
                held[0] += 1
                most[0] = max(most[0], held[0])
                held[0] -= 1

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
