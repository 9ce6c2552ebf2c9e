"""What a simulation has shown."""

import math
from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from hiertk.simulate.device import SimulatedDevice

_MOST_REASONS = 5


class SimulationOutcome(BaseModel):
    """Counts of all devices together; waits from the first sending of a message to its ack.

    sent counts repeats again, sent_again them alone. left: made and not settled at the end.
    Waits are None without an ack.
    """

    model_config = ConfigDict(frozen=True)

    devices: int
    seconds: float
    message_bytes: int
    made: int
    sent: int
    sent_again: int
    sent_bytes: int
    acknowledged: int
    refused: int
    dropped: int
    left: int
    ack_wait_ms_median: float | None
    ack_wait_ms_p95: float | None
    ack_wait_ms_max: float | None
    cloud_was_online: bool
    was_interrupted: bool
    reasons: tuple[str, ...]


def outcome_of(
    devices: Sequence[SimulatedDevice],
    *,
    seconds: float,
    message_bytes: int,
    was_interrupted: bool,
) -> SimulationOutcome:
    """Sum up the devices."""
    waits = sorted(1e3 * wait for device in devices for wait in device.waits_s)
    made = sum(device.made for device in devices)
    acknowledged = sum(device.acknowledged for device in devices)
    refused = sum(device.refused for device in devices)
    dropped = sum(device.dropped for device in devices)
    reasons = sorted({reason for device in devices for reason in device.reasons})
    return SimulationOutcome(
        devices=len(devices),
        seconds=seconds,
        message_bytes=message_bytes,
        made=made,
        sent=sum(device.sent for device in devices),
        sent_again=sum(device.sent_again for device in devices),
        sent_bytes=sum(device.sent_bytes for device in devices),
        acknowledged=acknowledged,
        refused=refused,
        dropped=dropped,
        left=made - acknowledged - refused - dropped,
        ack_wait_ms_median=median(waits) if waits else None,
        ack_wait_ms_p95=waits[math.ceil(0.95 * len(waits)) - 1] if waits else None,
        ack_wait_ms_max=waits[-1] if waits else None,
        cloud_was_online=any(device.cloud_is_online for device in devices),
        was_interrupted=was_interrupted,
        reasons=tuple(reasons[:_MOST_REASONS]),
    )


def print_outcome(outcome: SimulationOutcome) -> None:
    """Print the outcome for people."""
    table = Table("devices", "messages", "sent", "again", "acknowledged", "refused", "left")
    table.add_row(
        str(outcome.devices),
        f"{outcome.made} of {outcome.message_bytes / 1024:.1f} KiB",
        f"{outcome.sent} ({outcome.sent_bytes / 1e6:.1f} MB)",
        *(str(n) for n in (outcome.sent_again, outcome.acknowledged, outcome.refused)),
        str(outcome.left),
    )
    console = Console()
    console.print(table)
    rate = outcome.acknowledged / outcome.seconds
    console.print(f"{outcome.seconds:.1f} s, {rate:.1f} messages/s acknowledged")
    if outcome.ack_wait_ms_median is not None:
        console.print(
            f"wait for an ack: median {outcome.ack_wait_ms_median:.0f} ms, "
            f"95th percentile {outcome.ack_wait_ms_p95:.0f} ms, "
            f"longest {outcome.ack_wait_ms_max:.0f} ms"
        )
    if outcome.dropped:
        console.print(f"{outcome.dropped} were never taken: the cloud is too slow for this rate")
    if outcome.made and not outcome.cloud_was_online:
        console.print("The cloud is not online: nothing was sent. Does it serve this bundle?")
    for reason in outcome.reasons:
        console.print(f"said: {reason}", markup=False)
