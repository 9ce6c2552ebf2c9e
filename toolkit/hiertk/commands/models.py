"""`hiertk models`."""

import json
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hiertk.commands.options import Bottleneck, Debug, InputSize, Json, Normalization, Stem

if TYPE_CHECKING:
    from hiertk_protocol.manifest import Normalization as Policy
    from hiertk_protocol.manifest import Stem as StemKind


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="A network: one of the list, timm:NAME, or package.module:factory."),
    ] = None,
    *,
    input_size: InputSize = 32,
    batch_size: Annotated[
        int, typer.Option(min=2, max=1024, help="Images per step, for the memory.")
    ] = 32,
    class_capacity: Annotated[int, typer.Option(min=1, max=4096, help="Slots for classes.")] = 16,
    stem: Stem = "torchvision",
    normalization: Normalization = "batch",
    bottleneck: Bottleneck = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """List the networks, or the separation points of one and what each costs.

    Bytes are of one sample, packed and not yet compressed. FLOPs are of one sample, two for each
    multiply-add of convolutions and matrix products. Memory is what a training step on the device
    keeps for its backward pass, estimated from shapes: hiertk profile measures it.

    Example: hiertk models resnet18 --input-size 64
    """
    from hiertk import model_tables as tables
    from hiertk.network_names import NETWORK_NAMES
    from hiertk.option_checks import check_input_size

    if name is None:
        print(json.dumps(NETWORK_NAMES)) if json_ else tables.print_networks(NETWORK_NAMES)
        return
    check_input_size(input_size)
    from hiertk.models import NetworkSpec
    from hiertk.models.costs import network_costs

    spec = NetworkSpec(
        name=name,
        slots=class_capacity,
        input_size=input_size,
        stem=cast("StemKind", stem),
        normalization=cast("Policy", normalization),
    )
    costs = network_costs(spec, bottleneck=bottleneck, batch_size=batch_size)
    if json_:
        print(json.dumps(tables.costs_as_json(costs)))
    else:
        tables.print_costs(costs)
