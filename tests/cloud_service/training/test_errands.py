"""Work done between two steps by the trainer's thread."""

import threading
import time

import pytest
from hiertk_cloud.training.errands import Errands


def test_whoever_asks_gets_the_result_of_the_other_thread() -> None:
    errands = Errands()
    names: list[str] = []

    def serve() -> None:
        while not names:
            errands.do_all()
            time.sleep(0.001)

    other = threading.Thread(target=serve, name="other")
    other.start()

    def work() -> int:
        names.append(threading.current_thread().name)
        return 7

    assert errands.ask(work) == 7
    other.join()
    assert names == ["other"]


def test_what_the_work_raises_is_raised_where_it_was_asked() -> None:
    errands = Errands()
    timer = threading.Timer(0.05, errands.do_all)
    timer.start()
    with pytest.raises(ZeroDivisionError):
        errands.ask(lambda: 1 // 0)
    timer.join()


def test_work_whose_turn_does_not_come_is_not_done_later() -> None:
    errands = Errands()
    done: list[int] = []
    with pytest.raises(TimeoutError):
        errands.ask(lambda: done.append(1), timeout_s=0.01)
    errands.do_all()
    assert done == []
