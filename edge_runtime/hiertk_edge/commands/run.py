"""`hiertk-edge run`: train, predict and send."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from hiertk_protocol import console

from hiertk_edge.commands.interruption import Interruption
from hiertk_edge.commands.options import ConfigOption, Debug, PublicKey, log_to_stderr

_LINE_EVERY_S = 2.0
_LOG_LINE_EVERY_S = 60.0  # in a journal that is kept for weeks, on a card


def run(
    *,
    config: ConfigOption = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle: a folder, or a zip of one.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="mqtt://HOST[:PORT], or mqtts:// for TLS.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="This device's name, unique in the deployment.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A data set: folder:PATH, with one subfolder of images per class, or csv:PATH."
        ),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            help="Images that keep coming: watch:PATH or camera:...; several are possible."
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="127.0.0.1:PORT, by which this machine's programs give images and get predictions."
        ),
    ] = None,
    held_out: Annotated[str | None, typer.Option(help="A data set to measure accuracy on.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data set. Default: 1")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="stream|edge-first",
            help="Send each step's features, or the data's once, after the epochs. Default: stream",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Where spool and checkpoints are kept. Default: ./hiertk-edge-DEVICE"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, max=4096, help="Images per step. Default: the bundle's.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the optimizer, from here on. Default: the bundle's.")
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(min=0, help="Measure held-out accuracy every so many steps, too.")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints, at least. Default: 200")
    ] = None,
    checkpoint_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds between checkpoints, at least. Default: 300"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the engine. Default: 1")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the order of the images. Default: 0")
    ] = None,
    drain_timeout: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to wait for the cloud at the end. Default: for ever."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            help="Who signed the broker's certificate, PEM. Default: the system's own list."
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="This device's certificate, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The key of that certificate, PEM.")] = None,
    username: Annotated[str | None, typer.Option(help="This device's name at the broker.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="A file, mode 600, with the password for that name.")
    ] = None,
    public_key: PublicKey = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Write each line as JSON, for machines.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train on labelled images and send their features.

    Every option is also a setting of the configuration, which has more of them; an option counts
    above the file. `hiertk-edge doctor` says whether all is well.

    It goes on where it stopped: the same command again resumes training and sends what the spool
    still holds. It needs no broker to train. Ctrl-C saves a checkpoint first. With a data set alone
    it ends when all is trained and acknowledged; with a stream or the endpoint it goes on.

    `hiertk-cloud provision` makes certificates and passwords, and says which options they want.
    Certificates are read again for each connection, so that they can be renewed meanwhile.

    Example: hiertk-edge run --bundle bundle --broker mqtt://10.0.0.2 --device pi-1
    --data folder:train
    """
    from hiertk_edge.config import load_config

    interruption = Interruption()
    log_to_stderr(debug=debug)
    credentials = {
        "ca": _here(ca),
        "certificate": _here(certificate),
        "key": _here(key),
        "username": username,
        "password_file": _here(password_file),
    }
    training = {
        "epochs": epochs,
        "schedule": schedule,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "threads": threads,
        "seed": seed,
        "evaluate_every": evaluate_every,
        "drain_timeout_s": drain_timeout,
    }
    options = {
        "bundle": bundle,
        "device": device,
        "state": state,
        "data": data,
        "held_out": held_out,
        "streams": tuple(stream) if stream else None,
        "json_lines": json_ or None,
        "broker": _given({"url": broker, **credentials}),
        "training": _given(training),
        "checkpoint": _given({"every_steps": checkpoint_every, "every_s": checkpoint_seconds}),
        "endpoint": _given({"listen": endpoint}),
        "signing": _given({"public_key": _here(public_key)}),
    }
    loaded = load_config(config, _given(options))

    from hiertk_edge.device import run_device
    from hiertk_edge.status.report import (
        Reporter,
        human_line,
        json_line,
        outcome_json,
        print_outcome,
    )
    from hiertk_edge.watch import Watch

    if loaded.json_lines:
        reporter = Reporter(json_line, every_s=_LINE_EVERY_S, repeats=True)
    else:
        every_s = _LINE_EVERY_S if sys.stdout.isatty() else _LOG_LINE_EVERY_S
        reporter = Reporter(human_line, every_s=every_s)
    outcome = run_device(loaded, Watch(interruption.is_asked, reporter.show))
    if loaded.json_lines:
        print(outcome_json(outcome))
    else:
        print_outcome(outcome)
    if interruption.by == signal.SIGINT:
        raise typer.Exit(console.INTERRUPTED)


def _here(path: Path | None) -> Path | None:
    """Return where a file of the command line is: not among the credentials."""
    return None if path is None else path.absolute()


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, {})}
