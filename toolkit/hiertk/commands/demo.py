"""`hiertk demo`."""

from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console
from hiertk_protocol.errors import ConfigError

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
    new_class: Annotated[
        bool,
        typer.Option(
            "--new-class",
            help="One device learns all classes but one; then that one is named, and taught by a "
            "few labelled images.",
        ),
    ] = False,
    hold_back: Annotated[
        str | None,
        typer.Option(help="The new class of --new-class; by default the data set's last one."),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=1, max=1000, help="Labelled images that teach the new class.")
    ] = 50,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Run the whole system on this machine: export, broker, cloud, devices, real images.

    Ends with a table, results.json and a picture in a new folder below --runs.
    """
    from hiertk.demo.stage import check_broker

    check_broker(broker)
    console.terminate_like_interrupt()
    if hold_back is not None and not new_class:
        raise ConfigError("--hold-back names the class of --new-class: give both")
    if new_class:
        from hiertk.demo.new_class.run import NewClassSettings, run_new_class_demo

        run_new_class_demo(
            NewClassSettings(
                runs=runs,
                data=data,
                limit=limit,
                epochs=epochs,
                broker=broker,
                new_class=hold_back,
                examples=examples,
            ),
            as_json=json_,
        )
        return

    from hiertk.demo.run import DemoSettings, run_demo

    run_demo(
        DemoSettings(
            runs=runs, devices=devices, epochs=epochs, data=data, limit=limit, broker=broker
        ),
        as_json=json_,
    )
