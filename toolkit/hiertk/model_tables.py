"""Networks and their separation points for people, as tables, and for programs, as JSON."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hiertk.models.costs import NetworkCosts, PointCosts

_BITS = (8, 4)


def print_networks(names: Iterable[str]) -> None:
    """Print the networks by name, and what else can be named."""
    for name in names:
        print(name)
    print()
    print("Also timm:NAME where timm is installed, and your own package.module:factory.")
    print("The separation points of one: hiertk models NAME")


def print_costs(costs: "NetworkCosts") -> None:
    """Print a network's separation points and what each costs."""
    spec = costs.spec
    title = (
        f"{spec.name}, {spec.stem} stem, {spec.normalization} normalization, "
        f"{spec.input_size} x {spec.input_size}: {_short(costs.parameters)} parameters, "
        f"{costs.raw_bytes:,} bytes as 8-bit RGB"
    )
    sent = _table("split", "after", "features", "B, 8 bits", "of raw", "B, 4 bits", "of raw")
    sent.title = title
    work = _table(
        *("split", "edge params", "cloud", "edge forward", "backward", "cloud forward", "backward"),
        f"memory, {costs.batch_size}",
    )
    work.title = "Parameters; FLOPs of one sample; memory that a device's step keeps"
    for one in costs.points:
        sent.add_row(*_sent(one, costs.raw_bytes))
        work.add_row(*_work(one))
    Console().print(sent, work, sep="\n")


def costs_as_json(costs: "NetworkCosts") -> dict[str, Any]:
    """Return the same as print_costs shows, with every number whole."""
    spec = costs.spec
    return {
        "model": spec.name,
        "stem": spec.stem,
        "normalization": spec.normalization,
        "bottleneck": costs.bottleneck,
        "input_size": spec.input_size,
        "class_capacity": spec.slots,
        "batch_size": costs.batch_size,
        "parameters": costs.parameters,
        "raw_bytes": costs.raw_bytes,
        "points": [
            {
                "split": one.point.number,
                "module": one.point.name,
                "feature_shape": one.feature_shape,
                "bytes": {str(bits): one.sent_bytes(bits) for bits in _BITS},
                "edge_parameters": one.edge_parameters,
                "cloud_parameters": one.cloud_parameters,
                "edge_forward_flops": one.edge_forward_flops,
                "edge_backward_flops": one.edge_backward_flops,
                "cloud_forward_flops": one.cloud_forward_flops,
                "cloud_backward_flops": one.cloud_backward_flops,
                "activation_bytes": one.activation_bytes,
            }
            for one in costs.points
        ],
    }


def _table(*headings: str) -> Table:
    table = Table(title_justify="left")
    for heading in headings:
        justify: Literal["left", "right"] = "left" if heading == "after" else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    return table


def _sent(one: "PointCosts", raw_bytes: int) -> list[str]:
    sizes = [one.sent_bytes(bits) for bits in _BITS]
    return [
        str(one.point.number),
        one.point.name,
        " x ".join(map(str, one.feature_shape)),
        *(text for size in sizes for text in (f"{size:,}", f"{size / raw_bytes:.2f}")),
    ]


def _work(one: "PointCosts") -> list[str]:
    numbers = (
        one.edge_parameters,
        one.cloud_parameters,
        one.edge_forward_flops,
        one.edge_backward_flops,
        one.cloud_forward_flops,
        one.cloud_backward_flops,
    )
    return [str(one.point.number), *map(_short, numbers), f"{_short(one.activation_bytes)}B"]


def _short(number: int) -> str:
    """Write a number with three digits and a letter."""
    value = float(number)
    for letter in ("", "k", "M", "G"):
        if value < 999.5 or letter == "G":
            break
        value /= 1000
    return f"{value:.3g}{f' {letter}' if letter else ''}"
