"""`hiertk-cloud serve`: run the service."""

from pathlib import Path
from typing import Annotated, Any

import typer
from hiertk_protocol import console

from hiertk_cloud.report import Reporter


def serve(
    *,
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration. Default: /etc/hiertk/cloud.toml, if it is there."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="The bundle that the devices run: a folder, or a zip of one."),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(help="mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the log and the checkpoint; made if it is missing. "
            "One service and one bundle per folder."
        ),
    ] = None,
    replay: Annotated[
        int | None,
        typer.Option(min=0, max=64, help="Earlier batches that join each new one in its step."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="stream|replay",
            help="With nothing new: wait, or go over the log again. Default: stream",
        ),
    ] = None,
    passes: Annotated[
        int | None,
        typer.Option(min=2, help="With replay: how often each batch is trained on. Default: 10"),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-8, max=1.0, help="Of AdamW in the cloud.")
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(min=1, help="Cloud steps between checkpoints: what a crash makes it redo."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="Threads of torch.")] = None,
    factory: Annotated[
        str | None,
        typer.Option(
            help="package.module:factory of a network of your own. It is run: name it only if it "
            "is yours and the bundle's network."
        ),
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the dashboard and the API; empty: none."),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Write each line as JSON, for machines.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Receive feature batches, store them, acknowledge them, and train on them.

    Every option is also a setting of the configuration, which has more of them; an option counts
    above the file. `hiertk-cloud check` says whether all is well.

    Stop it with Ctrl-C or SIGTERM: it writes a checkpoint and leaves with 0. Start it again with
    the same --state and it goes on: no batch is lost, and none trains twice. It needs no device to
    be there, and devices need no service to be there.

    Example: hiertk-cloud serve --bundle bundle/ --broker mqtt://localhost --state cloud-state/
    """
    console.terminate_like_interrupt()
    from hiertk_cloud.config import load_config

    trainer = {
        "replay": replay,
        "schedule": schedule,
        "passes": passes,
        "learning_rate": learning_rate,
        "checkpoint_every": checkpoint_every,
        "threads": threads,
    }
    options = {
        "bundle": bundle,
        "state": state,
        "factory": factory,
        "json_lines": json_ or None,
        "broker": _given({"url": broker}),
        "trainer": _given(trainer),
        "api": _given({"listen": api}),
    }
    loaded = load_config(config, _given(options))
    from hiertk_cloud.running import run_service

    run_service(loaded, Reporter(as_json=loaded.json_lines))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, {})}
