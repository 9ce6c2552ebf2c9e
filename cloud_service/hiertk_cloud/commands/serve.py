"""`hiertk-cloud serve`: run the service."""

from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console
from hiertk_protocol.bundle import open_bundle
from hiertk_protocol.mqtt import parse_broker

from hiertk_cloud.report import Reporter


def serve(
    *,
    bundle: Annotated[
        Path, typer.Option(help="The bundle that the devices run: a folder, or a zip of one.")
    ],
    broker: Annotated[
        str, typer.Option(help="mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS.")
    ],
    state: Annotated[
        Path,
        typer.Option(
            help="Folder for the log and the checkpoint; made if it is missing. "
            "One service and one bundle per folder."
        ),
    ],
    replay: Annotated[
        int,
        typer.Option(min=0, max=64, help="Earlier batches that join each new one in its step."),
    ] = 1,
    learning_rate: Annotated[
        float, typer.Option(min=1e-8, max=1.0, help="Of AdamW in the cloud.")
    ] = 1e-3,
    checkpoint_every: Annotated[
        int,
        typer.Option(min=1, help="Cloud steps between checkpoints: what a crash makes it redo."),
    ] = 200,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of torch.")] = 1,
    factory: Annotated[
        str | None,
        typer.Option(
            help="package.module:factory of a network of your own. It is run: name it only if it "
            "is yours and the bundle's network."
        ),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Write each line as JSON, for machines.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Receive feature batches, store them, acknowledge them, and train on them.

    Stop it with Ctrl-C or SIGTERM: it writes a checkpoint and leaves with 0. Start it again with
    the same --state and it goes on: no batch is lost, and none trains twice. It needs no device to
    be there, and devices need no service to be there.

    Example: hiertk-cloud serve --bundle bundle/ --broker mqtt://localhost --state cloud-state/
    """
    console.terminate_like_interrupt()
    opened, address = open_bundle(bundle), parse_broker(broker)
    from hiertk_cloud.service import ServiceSettings
    from hiertk_cloud.service import serve as serve_bundle
    from hiertk_cloud.trainer import TrainerSettings

    settings = ServiceSettings(
        learning_rate=learning_rate,
        threads=threads,
        trusted_factory=factory,
        trainer=TrainerSettings(replay=replay, checkpoint_every=checkpoint_every),
    )
    serve_bundle(opened, address, state, settings, Reporter(as_json=json_))
