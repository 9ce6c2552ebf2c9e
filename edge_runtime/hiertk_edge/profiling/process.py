"""Measuring one cut in a process of its own, which is gone when this returns."""

import subprocess
import sys

from hiertk_protocol.errors import HiertkError, error_of_exit_code
from pydantic import ValidationError

from hiertk_edge.profiling.records import MeasuredPoint, PointSettings


def measure_apart(settings: PointSettings) -> MeasuredPoint:
    """Measure one cut in a fresh process.

    Raises the error that it reports, or HiertkError if it was killed.
    """
    # A session of its own: Ctrl-C in the terminal reaches this process alone, which ends the other.
    with subprocess.Popen(
        [sys.executable, "-m", "hiertk_edge.profiling.point", settings.model_dump_json()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, said = process.communicate()
        finally:
            process.kill()  # does nothing to one that has ended
    if process.returncode != 0:
        raise _error_of(process.returncode, said)
    try:
        return MeasuredPoint.model_validate_json(output)
    except ValidationError as error:
        raise HiertkError(f"{settings.bundle}: the measuring process printed {error}") from error


def _error_of(code: int, said: str) -> HiertkError:
    if code < 0:
        return HiertkError(
            f"the measuring process was killed by signal {-code}, perhaps for want of memory: "
            "take a smaller --batch-size"
        )
    lines = said.strip().splitlines() or ["it said nothing"]
    kind = error_of_exit_code(code)
    return kind(lines[-1].removeprefix(f"{kind.__name__}: "))
