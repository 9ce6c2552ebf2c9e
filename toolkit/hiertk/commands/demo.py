"""`hiertk demo`."""

from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console

from hiertk.commands.options import Debug, Json


def demo(
    *,
    runs: Annotated[Path, typer.Option(help="Where the run's folder goes.")] = Path("runs"),
    devices: Annotated[int, typer.Option(min=1, max=8, help="Edge processes.")] = 2,
    epochs: Annotated[int, typer.Option(min=1, help="Passes of each device over its images.")] = 2,
    data: Annotated[str, typer.Option(help="Data set; its images are shared out.")] = (
        "fashion-mnist-mini"
    ),
    limit: Annotated[
        int, typer.Option(min=100, help="Training images at most, all devices together.")
    ] = 4800,
    broker: Annotated[
        str, typer.Option(help="mosquitto, embedded, or auto: mosquitto where it is installed.")
    ] = "auto",
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Run the whole system on this machine: export, broker, cloud, devices, real images.

    Ends with a table, results.json and summary.png in a new folder below --runs.
    """
    from hiertk.demo.run import DemoSettings, run_demo

    console.terminate_like_interrupt()
    run_demo(
        DemoSettings(
            runs=runs, devices=devices, epochs=epochs, data=data, limit=limit, broker=broker
        ),
        as_json=json_,
    )
