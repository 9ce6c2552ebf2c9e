"""`hiertk plan`: where to cut, at how many bits, and what it costs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from hiertk.commands.options import (
    Backend,
    BatchSize,
    Bottleneck,
    Debug,
    InputSize,
    Json,
    Normalization,
    Stem,
)

_Number = TypeVar("_Number", int, float)


def plan(
    *,
    model: Annotated[str, typer.Option(help="A network that `hiertk models` lists.")],
    uplink: Annotated[
        str, typer.Option(help="Rate of the uplink, e.g. 1.1mbit (required).", show_default=False)
    ] = "",
    downlink: Annotated[
        str, typer.Option(help="Rate of the downlink. Default: the uplink's.", show_default=False)
    ] = "",
    rtt: Annotated[str, typer.Option(help="Round trip of the link.")] = "60ms",
    efficiency: Annotated[
        str, typer.Option(help="Share of the line rate that payload gets.")
    ] = "95%",
    input_size: InputSize = 32,
    stem: Stem = "torchvision",
    normalization: Normalization = "batch",
    bottleneck: Bottleneck = None,
    batch_size: BatchSize = 32,
    bits: Annotated[
        int | None, typer.Option(help="Bits per feature value: 8 or 4. Default: both are tried.")
    ] = None,
    replay: Annotated[int, typer.Option(help="Earlier batches that join each cloud step.")] = 1,
    compression: Annotated[
        float | None,
        typer.Option(
            help="Packed bytes of features over compressed ones, in place of what was measured."
        ),
    ] = None,
    class_capacity: Annotated[int, typer.Option(help="Slots for classes.")] = 16,
    backend: Backend = "onnxruntime",
    edge_profile: Annotated[
        Path | None, typer.Option(help="The device's profile. Default: the shipped one.")
    ] = None,
    cloud_profile: Annotated[
        Path | None, typer.Option(help="The cloud's profile. Default: the shipped one.")
    ] = None,
    max_edge_memory: Annotated[
        str | None, typer.Option(help="Memory of the device's training process, e.g. 128MB.")
    ] = None,
    max_edge_parameters: Annotated[
        str | None,
        typer.Option(help="Parameters on the device, e.g. 2M. Default: as many as in the cloud."),
    ] = None,
    max_uplink_bytes: Annotated[
        str | None, typer.Option(help="Bytes of one sample on the uplink, e.g. 1kB.")
    ] = None,
    max_step_time: Annotated[
        str | None, typer.Option(help="The device's work for one batch, e.g. 200ms.")
    ] = None,
    accuracies: Annotated[
        Path | None, typer.Option(help="A table of measured accuracies (docs/planning.md).")
    ] = None,
    max_accuracy_drop: Annotated[
        str | None, typer.Option(help="Accuracy below the uncut network's, e.g. 1%.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the plan: FILE.png or FILE.svg.")] = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Say where to cut, at how many bits, and what it costs, before anything is deployed.

    Predicts the time per batch of hierarchical training, full cloud and split learning at every
    separation point, from two profiles and the link, and chooses the fastest point within the
    limits.

    Example: hiertk plan --model resnet18 --uplink 1.1mbit --rtt 60ms
    """
    from hiertk.planner.as_json import as_json
    from hiertk.planner.link_flags import read_link
    from hiertk.planner.plan import make_plan
    from hiertk.planner.selection import Limits
    from hiertk.planner.settings import PlanSettings
    from hiertk.planner.units import parse_count, parse_share, parse_size, parse_time

    settings = PlanSettings(
        model=model,
        link=read_link(uplink, downlink=downlink, rtt=rtt, efficiency=efficiency),
        input_size=input_size,
        stem=stem,
        normalization=normalization,
        bottleneck=bottleneck,
        slots=class_capacity,
        backend=backend,
        batch_size=batch_size,
        bits=bits,
        replay=replay,
        compression=compression,
        edge_profile=edge_profile,
        cloud_profile=cloud_profile,
        limits=Limits(
            edge_memory_bytes=_given("--max-edge-memory", max_edge_memory, parse_size),
            edge_parameters=_given("--max-edge-parameters", max_edge_parameters, parse_count),
            uplink_bytes=_given("--max-uplink-bytes", max_uplink_bytes, parse_size),
            step_s=_given("--max-step-time", max_step_time, parse_time),
            accuracy_drop=_given("--max-accuracy-drop", max_accuracy_drop, parse_share),
        ),
        accuracies=accuracies,
    )
    if plot is not None:
        from hiertk.planner.picture import check_drawable, draw

        check_drawable(plot)
    made = make_plan(settings)
    if plot is not None:
        draw(made, plot)
    if json_:
        print(json.dumps(as_json(made)))
        return
    from hiertk.planner.table import print_plan

    print_plan(made)
    if plot is not None:
        print(f"Drew {plot}")


def _given(flag: str, text: str | None, parse: Callable[[str, str], _Number]) -> _Number | None:
    return None if text is None else parse(flag, text)
