"""A child process that speaks in JSON lines, and what becomes of one that does not."""

import sys

import pytest
from hiertk.line_process import LineProcess
from hiertk_protocol.errors import ConfigError, HiertkError


def process(code: str, patience_s: float = 60) -> LineProcess:
    return LineProcess([sys.executable, "-c", code], core=0, patience_s=patience_s)


def test_lines_come_in_order_and_others_are_passed_over() -> None:
    with process('print(\'hello\\n{"n": 1}\\n{"n": 2}\')') as child:
        assert child.wait_until(lambda line: line["n"] > 1)[1] == {"n": 2}


def test_an_error_of_the_child_is_raised_here() -> None:
    with (
        process("import sys; print('ConfigError: no', file=sys.stderr); sys.exit(3)") as child,
        pytest.raises(ConfigError, match="exit code 3: ConfigError: no"),
    ):
        child.wait_for(event="never")


def test_a_silent_child_is_not_waited_for_for_ever() -> None:
    with (
        process("import time; time.sleep(60)", patience_s=0.2) as child,
        pytest.raises(HiertkError, match="has said nothing for 0 s"),
    ):
        child.wait_for(event="never")
