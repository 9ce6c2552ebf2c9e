"""What the command line says while a device trains, for people or as JSON lines."""

import json
import math
import time
from collections.abc import Callable

from hiertk_protocol.hiertk_pb2 import DeviceStatus

from hiertk_edge.watch import Outcome

Line = Callable[[DeviceStatus], str]

_AT_WORK = frozenset({DeviceStatus.TRAINING, DeviceStatus.WAITING})


class Reporter:
    """Prints a line of progress every so many seconds, and when the state changes.

    repeats: also if nothing is new; for people not: what runs for weeks must not fill a log.
    """

    def __init__(self, line: Line, *, every_s: float = 2.0, repeats: bool = False) -> None:
        self._line = line
        self._every_s = every_s
        self._repeats = repeats
        self._due = 0.0
        self._state: int | None = None
        self._printed = ""

    def show(self, status: DeviceStatus) -> None:
        """Print the status if it is time to."""
        now = time.monotonic()
        if now < self._due and not is_news(self._state, status.state):
            return
        self._due = now + self._every_s
        self._state = status.state
        line = self._line(status)
        if self._repeats or line != self._printed:
            print(line, flush=True)
        self._printed = line


def is_news(before: int | None, state: int) -> bool:
    """Return whether a state is worth telling at once.

    With streams a device trains and waits in turn, several times a second maybe: that is not.
    """
    return state != before and not {before, state} <= _AT_WORK


def human_line(status: DeviceStatus) -> str:
    """Return the status as one line for people."""
    held_out = _percent(status.early_exit_held_out_accuracy)
    return (
        f"{DeviceStatus.State.Name(status.state).lower():8}  step {status.edge_step}"
        f"  loss {_number(status.early_exit_loss)}"
        f"  accuracy {_percent(status.early_exit_accuracy)}"
        f"{'' if held_out == '-' else f' (held out {held_out})'}"
        f"  spool {status.spool_batches} ({status.spool_bytes / 1e6:.1f} MB)"
        f"  sent {status.sent_total} ({status.sent_bytes / 1e6:.1f} MB)"
    )


def json_line(status: DeviceStatus) -> str:
    """Return the status as one JSON object."""
    return json.dumps({"event": "progress"} | _fields(status))


def print_outcome(outcome: Outcome) -> None:
    """Print the final table."""
    from rich.console import Console
    from rich.table import Table

    status = outcome.status
    table = Table("", "", show_header=False, title="Finished" if outcome.finished else "Stopped")
    for name, value in (
        ("edge steps", f"{status.edge_step}"),
        ("early-exit loss, newest steps", _number(status.early_exit_loss)),
        ("early-exit accuracy, newest steps", _percent(status.early_exit_accuracy)),
        ("early-exit accuracy, held out", _percent(status.early_exit_held_out_accuracy)),
        ("edge step, median", f"{_number(status.step_ms)} ms"),
        ("images in feature batches", f"{status.samples_total}"),
        ("unreadable images", f"{status.bad_images}"),
        ("messages made", _amount(status.spooled_total, status.payload_bytes_total)),
        ("messages sent in this run", _amount(status.sent_total, status.sent_bytes)),
        ("still in the spool", _amount(status.spool_batches, status.spool_bytes)),
        ("dropped", f"{status.dropped_total}"),
        ("refused by the cloud", f"{status.refused_total}"),
        ("time", f"{outcome.seconds:.1f} s"),
    ):
        table.add_row(name, value)
    Console().print(table)


def outcome_json(outcome: Outcome) -> str:
    """Return the outcome as one JSON object."""
    end = {"event": "summary", "finished": outcome.finished, "seconds": round(outcome.seconds, 3)}
    return json.dumps(end | _fields(outcome.status))


def _fields(status: DeviceStatus) -> dict[str, object]:
    fields = {field.name: getattr(status, field.name) for field in status.DESCRIPTOR.fields}
    fields["state"] = DeviceStatus.State.Name(status.state)
    fields["problems"] = list(status.problems)
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in fields.items()
    }


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _amount(count: int, size: int) -> str:
    return f"{count} ({size / 1e6:.1f} MB)"
