"""`hiertk simulate`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console
from hiertk_protocol.mqtt import parse_broker

from hiertk.commands.options import Debug, Json


def simulate(
    *,
    bundle: Annotated[Path, typer.Option(help="The bundle that the cloud serves.")],
    broker: Annotated[str, typer.Option(help="mqtt://HOST[:PORT], or mqtts://HOST[:PORT].")],
    devices: Annotated[int, typer.Option(min=1, max=2000, help="How many.")] = 10,
    rate: Annotated[
        float,
        typer.Option(min=0, max=1000, help="Batches per second of each; 0: connected and idle."),
    ] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="How long.")] = 30.0,
    size: Annotated[int, typer.Option(min=1, max=1024, help="KiB of a message, about.")] = 64,
    name: Annotated[
        str, typer.Option(help="Devices are NAME-0000 and so on; one per simulation at a time.")
    ] = "sim",
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Load a cloud with devices that do not train but send real messages.

    Each has its own connection, last will, status, sequence numbers and window, and sends again
    what is not acknowledged; the features in them are random. The cloud trains on them: use a
    deployment of its own, and a state folder that you can throw away. Ctrl-C ends it early with
    the same report.

    Example: hiertk simulate --bundle bundle --broker mqtt://localhost --devices 50 --rate 2
    """
    from hiertk_protocol.topics import check_device_name

    from hiertk.simulate import SimulationSettings
    from hiertk.simulate import simulate as run
    from hiertk.simulate.outcome import print_outcome

    console.terminate_like_interrupt()
    check_device_name(f"{name}-0000")
    settings = SimulationSettings(
        bundle=bundle,
        broker=parse_broker(broker),
        devices=devices,
        rate=rate,
        seconds=seconds,
        message_bytes=size << 10,
        name=name,
    )
    outcome = run(settings, tell=lambda text: print(text, file=sys.stderr))
    if json_:
        print(outcome.model_dump_json())
    else:
        print_outcome(outcome)
    if outcome.was_interrupted:
        raise typer.Exit(console.INTERRUPTED)
