import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hiertk_edge.care.caretaker import CareLimits, Caretaker, Sensors
from hiertk_edge.care.sensors import hottest_c, resident_bytes
from hiertk_protocol.host.problems import Problems


class Machine:
    """Readings that a test sets, one second apart."""

    def __init__(self, limits: CareLimits) -> None:
        self.temperature = math.nan
        self.held = 0
        self.seconds = 0.0
        self.told: list[str] = []
        self.problems = Problems(lambda _kind, text: self.told.append(text))
        sensors = Sensors(lambda: self.temperature, lambda: self.held, lambda: self.seconds)
        self.caretaker = Caretaker(limits, self.problems, sensors)

    def may_train(self, *, temperature: float = math.nan, held: int = 0) -> bool:
        self.temperature, self.held = temperature, held
        self.seconds += 1
        return self.caretaker.may_train()


def test_heat_pauses_training_until_it_is_five_degrees_cooler() -> None:
    machine = Machine(CareLimits(max_temperature_c=80))
    readings = [79.0, 80.0, 79.0, 76.0, 75.0, 79.0]
    assert [machine.may_train(temperature=one) for one in readings] == [
        True, False, False, False, True, True,
    ]  # fmt: skip
    assert machine.told == [
        "training pauses at 80 C (limit 80): cool the device, or set fewer threads",
        "75 C: training goes on",
    ]


def test_a_sensor_that_is_gone_changes_nothing() -> None:
    machine = Machine(CareLimits(max_temperature_c=80))
    assert machine.may_train()
    assert not machine.may_train(temperature=90)
    assert not machine.may_train(), "still hot, as far as anybody knows"
    assert machine.may_train(temperature=40)


def test_a_process_that_grows_too_large_pauses_training() -> None:
    machine = Machine(CareLimits(max_memory_bytes=100 << 20))
    sizes = [100 << 20, (100 << 20) + 1, 96 << 20, 95 << 20]
    assert [machine.may_train(held=one) for one in sizes] == [True, False, False, True]
    assert machine.told[0].startswith("training pauses: the process holds 100 MiB (limit 100)")


def test_both_have_to_be_well() -> None:
    machine = Machine(CareLimits(max_memory_bytes=100, max_temperature_c=80))
    assert not machine.may_train(temperature=90, held=200)
    assert len(machine.problems.lines) == 2
    assert not machine.may_train(temperature=20, held=200)
    assert machine.may_train(temperature=20, held=20)
    assert not machine.problems.lines


def test_no_limits_never_pause() -> None:
    machine = Machine(CareLimits())
    assert machine.may_train(temperature=500, held=1 << 40)


def test_it_looks_once_a_second() -> None:
    machine = Machine(CareLimits(max_temperature_c=80))
    assert machine.may_train(temperature=20)
    machine.temperature = 90
    assert machine.caretaker.may_train()
    machine.seconds += 1
    assert not machine.caretaker.may_train()


def test_the_hottest_of_the_readable_sensors_counts(tmp_path: Path) -> None:
    assert math.isnan(hottest_c(tmp_path))
    for number, text in enumerate(["41000\n", "63500\n", "garbage", ""]):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}/temp").write_text(text)
    assert hottest_c(tmp_path) == 63.5


def test_the_real_process_has_a_size() -> None:
    before = resident_bytes()
    block = bytearray(os.urandom(32 << 20))
    assert resident_bytes() - before > 24 << 20
    del block


@pytest.mark.parametrize(("asked", "got"), [(7, 7), (0, 3)])
def test_a_nice_level_is_only_ever_lowered(asked: int, got: int) -> None:
    code = (
        "import os; from hiertk_edge.care.caretaker import set_nice; "
        f"os.setpriority(os.PRIO_PROCESS, 0, 3); set_nice({asked}); "
        "print(os.getpriority(os.PRIO_PROCESS, 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(got)
