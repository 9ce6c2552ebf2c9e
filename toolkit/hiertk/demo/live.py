"""What the demo shows while it runs: a table that is drawn again, or a line now and then."""

import math
import time
from types import TracebackType

from hiertk_protocol.hiertk_pb2 import DeviceStatus, ModelStatus
from rich.console import Console
from rich.live import Live
from rich.table import Table
from typing_extensions import Self

from hiertk.demo.watch import Moment

_LINE_EVERY_S = 5.0


class LiveView:
    """Shows moments on a terminal as one table, elsewhere as lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._line_due = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line above what is shown."""
        self._console.print(text, soft_wrap=True)

    def show(self, moment: Moment) -> None:
        """Show the newest state."""
        if self._console.is_terminal:
            self._live.update(_table(moment))
        elif time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + _LINE_EVERY_S
            self._console.print(_line(moment), highlight=False, soft_wrap=True)


def number(value: float, digits: int = 3) -> str:
    """Return a number, or a dash for one that is not measured yet."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _table(moment: Moment) -> Table:
    table = Table(title=f"{moment.seconds:.0f} s", title_justify="left")
    for heading in ("", "state", "step", "loss", "accuracy", "held out", "waiting", "sent"):
        table.add_column(heading, justify="left" if heading in ("", "state") else "right")
    for name, device in sorted(moment.devices.items()):
        table.add_row(
            name,
            DeviceStatus.State.Name(device.state).lower(),
            str(device.edge_step),
            number(device.early_exit_loss),
            number(device.early_exit_accuracy),
            number(device.early_exit_held_out_accuracy),
            f"{device.spool_batches} in spool",
            f"{device.sent_bytes / 1e6:.1f} MB",
        )
    model = moment.model
    table.add_section()
    table.add_row(
        "cloud",
        ModelStatus.State.Name(model.state).lower(),
        str(model.cloud_step),
        number(model.final_exit_loss),
        number(model.final_exit_accuracy),
        number(model.final_exit_held_out_accuracy),
        f"{model.stored_total - model.consumed_total} in queue",
        "",
    )
    return table


def _line(moment: Moment) -> str:
    model = moment.model
    if not moment.devices:
        return f"{moment.seconds:4.0f} s  the cloud service and the devices are starting"
    devices = ", ".join(
        f"{name} step {device.edge_step} loss {number(device.early_exit_loss)} accuracy "
        f"{number(device.early_exit_accuracy)} spool {device.spool_batches} sent "
        f"{device.sent_bytes / 1e6:.1f} MB"
        for name, device in sorted(moment.devices.items())
    )
    return (
        f"{moment.seconds:4.0f} s  cloud step {model.cloud_step} loss "
        f"{number(model.final_exit_loss)} accuracy {number(model.final_exit_accuracy)} queue "
        f"{model.stored_total - model.consumed_total}; {devices}"
    )
