"""A cloud's profile for people."""

from hiertk_protocol.profile import CloudProfile
from rich.console import Console
from rich.table import Table

from hiertk.profiling.cloud_partitions import WHOLE_NETWORK


def print_cloud_profile(profile: CloudProfile) -> None:
    """Print what the step after each separation point takes, by its number of samples."""
    network, engine = profile.network, profile.engine
    steps = profile.points[0].steps
    table = Table(
        "point",
        *(f"{step.samples}" for step in steps),
        "forward",
        "backward",
        "rest",
        "message",
        title=f"{network.name}, {network.input_size}x{network.input_size}: "
        "ms of a step by its samples",
        caption=f"parts at {steps[-1].samples} samples; {engine.backend} {engine.version}, "
        f"threads: {engine.threads}\n{profile.machine.processor}",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for point in profile.points:
        largest = point.steps[-1]
        table.add_row(
            "all" if point.split == WHOLE_NETWORK else f"{point.split}",
            *(f"{step.total_ms:.1f}" for step in point.steps),
            f"{largest.forward_ms:.1f}",
            f"{largest.backward_ms:.1f}",
            f"{largest.optimizer_ms:.1f}",
            f"{point.receive_ms:.1f}",
        )
    Console().print(table)
