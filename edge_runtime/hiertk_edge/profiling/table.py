"""A device's profile for people."""

from hiertk_protocol.profile import EdgePoint, EdgeProfile


def print_edge_profile(profile: EdgeProfile) -> None:
    """Print what every cut takes at the largest of the measured sample counts."""
    from rich.console import Console
    from rich.table import Table

    network, engine = profile.network, profile.engine
    samples = profile.points[0].steps[-1].samples
    table = Table(
        "point", "forward", "backward", "update", "8 bits", "4 bits", "handover", "memory",
        title=f"{network.name}, {network.input_size}x{network.input_size}, {samples} images: "
        "ms, bytes, handover at 4 bits",
        caption=f"{engine.backend} {engine.version}, threads: {engine.threads}; "
        f"preparing an image: {profile.prepare_ms:.3f} ms\n{profile.machine.processor}",
    )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for point in profile.points:
        table.add_row(*_row(point))
    Console().print(table)


def _row(point: EdgePoint) -> list[str]:
    step, wires = point.steps[-1], {wire.bits: wire for wire in point.wire}
    return [
        f"{point.split}",
        f"{step.forward_ms:.2f}",
        f"{step.backward_ms:.2f}",
        f"{step.optimizer_ms:.2f}",
        *(f"{wires[bits].bytes:,}" if bits in wires else "-" for bits in (8, 4)),
        f"{wires[4].handover_ms:.2f}" if 4 in wires else "-",
        f"{point.peak_memory_bytes / 1e6:.0f} MB",
    ]
