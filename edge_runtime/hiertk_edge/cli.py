"""The command line of a device: run, predict, verify, weights, profile."""

import json
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from hiertk_protocol import console

from hiertk_edge.commands.options import BundleOption, Debug, Json, PublicKey, Threads
from hiertk_edge.commands.weights import weights

app = typer.Typer(
    name="hiertk-edge",
    help="Train the edge partition of a bundle on this device, and send its features to the cloud.",
    epilog="Exit codes: 0 done, 2 wrong command line, 3 settings or data, 4 weights not finite, "
    "7 bundle, 8 training diverged, 9 spool not empty at the timeout, 10 disk, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run(
    *,
    bundle: BundleOption,
    broker: Annotated[str, typer.Option(help="mqtt://HOST[:PORT], or mqtts:// for TLS.")],
    device: Annotated[str, typer.Option(help="This device's name, unique in the deployment.")],
    data: Annotated[str, typer.Option(help="folder:PATH, with one subfolder of images per class.")],
    held_out: Annotated[
        str | None, typer.Option(help="folder:PATH of images to measure accuracy on.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 1,
    state: Annotated[
        Path | None,
        typer.Option(help="Where spool and checkpoint are kept. Default: ./hiertk-edge-DEVICE"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, max=4096, help="Images per step. Default: the bundle's.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the optimizer, from here on. Default: the bundle's.")
    ] = None,
    evaluate_every: Annotated[
        int, typer.Option(min=0, help="Measure held-out accuracy every so many steps, too.")
    ] = 0,
    checkpoint_every: Annotated[
        int, typer.Option(min=1, help="Save a checkpoint every so many steps.")
    ] = 200,
    threads: Threads = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order of the images.")] = 0,
    drain_timeout: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to wait for the cloud at the end. Default: for ever."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            envvar="HIERTK_CA",
            help="Who signed the broker's certificate, PEM. Default: the system's own list.",
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(envvar="HIERTK_CERTIFICATE", help="This device's certificate, PEM."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(envvar="HIERTK_KEY", help="The key of that certificate, PEM.")
    ] = None,
    username: Annotated[
        str | None,
        typer.Option(envvar="HIERTK_USERNAME", help="This device's name at the broker."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(envvar="HIERTK_PASSWORD_FILE", help="A file with the password for that name."),
    ] = None,
    public_key: PublicKey = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Train on labelled images and send their features.

    It goes on where it stopped: the same command again resumes training and sends what the spool
    still holds. It needs no broker to train. Ctrl-C saves a checkpoint first.

    `hiertk-cloud provision` makes certificates and passwords, and says which options they want.
    They are read again for each connection, so that they can be renewed meanwhile.

    Example: hiertk-edge run --bundle bundle --broker mqtt://10.0.0.2 --device pi-1
    --data folder:train
    """
    from hiertk_protocol.credentials import Credentials, read_password
    from hiertk_protocol.trust import trusted_key

    from hiertk_edge.agent import Schedule, Watch
    from hiertk_edge.device import DeviceSettings, run_device
    from hiertk_edge.report import Reporter, human_line, json_line, outcome_json, print_outcome

    _log_to_stderr(debug=debug)
    interruption = Interruption()
    reporter = Reporter(json_line if json_ else human_line)
    outcome = run_device(
        DeviceSettings(
            bundle=bundle,
            broker=broker,
            device=device,
            data=data,
            held_out=held_out,
            state=state or Path(f"hiertk-edge-{device}"),
            batch_size=batch_size,
            learning_rate=learning_rate,
            threads=threads,
            schedule=Schedule(
                epochs=epochs,
                evaluate_every=evaluate_every,
                checkpoint_every=checkpoint_every,
                seed=seed,
                drain_timeout_s=drain_timeout,
            ),
            credentials=Credentials(
                ca=ca,
                certificate=certificate,
                key=key,
                username=username,
                password=None if password_file is None else read_password(password_file),
            ),
            public_key=trusted_key(public_key),
        ),
        Watch(interruption.is_asked, reporter.show),
    )
    if json_:
        print(outcome_json(outcome))
    else:
        print_outcome(outcome)
    if interruption.by == signal.SIGINT:
        raise typer.Exit(console.INTERRUPTED)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    *,
    bundle: BundleOption,
    state: Annotated[
        Path | None, typer.Option(help="Use the checkpoint of this state folder.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to show per image.")] = 3,
    threads: Threads = 1,
    public_key: PublicKey = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Classify images with the early exit, without any network."""
    from hiertk_protocol.bundle import open_bundle
    from hiertk_protocol.errors import ConfigError
    from hiertk_protocol.trust import trusted_key

    from hiertk_edge.engines.backends import open_learner
    from hiertk_edge.predict import predict as predict_images
    from hiertk_edge.state import StateFolder

    _log_to_stderr(debug=debug)
    checked = open_bundle(bundle, trusted_key(public_key))
    checkpoint = StateFolder(state).newest_checkpoint() if state else None
    if state and checkpoint is None:
        raise ConfigError(f"{state} holds no checkpoint: train there first, or leave --state")
    learner = open_learner(checked, threads=threads, checkpoint=checkpoint)
    for prediction in predict_images(learner, checked.manifest, images, top=top):
        if json_:
            classes = dict(prediction.classes)
            print(json.dumps({"image": str(prediction.image), "classes": classes}))
        else:
            shown = "  ".join(f"{name} {100 * p:.1f} %" for name, p in prediction.classes)
            print(f"{prediction.image}: {shown}")


@app.command()
def verify(
    *,
    bundle: BundleOption,
    public_key: PublicKey = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Check on this very device that the bundle trains as the PyTorch reference does."""
    from hiertk_protocol.bundle import open_bundle
    from hiertk_protocol.trust import trusted_key

    from hiertk_edge.golden import verify_golden

    _log_to_stderr(debug=debug)
    checks = verify_golden(open_bundle(bundle, trusted_key(public_key)))
    if json_:
        print(json.dumps([check.model_dump() for check in checks]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("check", "difference", "allowed", title=f"{bundle} equals its reference")
    for check in checks:
        table.add_row(check.what, f"{check.worst:.2g}", f"{check.tolerance:.2g}")
    Console().print(table)


app.command()(weights)


@app.command()
def profile(
    *,
    bundle: Annotated[
        Path, typer.Option(help="A bundle, or a folder of cuts: split-1, split-2...")
    ],
    out: Annotated[Path, typer.Option(help="The profile to write, TOML.")],
    data: Annotated[
        str | None,
        typer.Option(help="folder:PATH of images. Default: the bundle's golden images."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, max=4096, help="Images per step. Default: the bundle's.")
    ] = None,
    threads: Threads = 1,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="How long to measure each cut, about.")
    ] = 5.0,
    public_key: PublicKey = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Measure what a training step takes on this device, at every cut of a network.

    Times, memory and message sizes go into a small file, from which `hiertk plan` says where to
    cut. Let nothing else run meanwhile.

    Example: hiertk-edge profile --bundle cuts --out pi.toml
    """
    from hiertk_protocol.profile_file import prepare_output, write_profile
    from hiertk_protocol.trust import trusted_key

    from hiertk_edge.profiling import ProfileSettings, print_edge_profile, profile_edge

    _log_to_stderr(debug=debug)
    console.terminate_like_interrupt()
    prepare_output(out, replace=force)
    measured = profile_edge(
        ProfileSettings(
            bundle=bundle,
            folder=out.parent,
            data=data,
            batch_size=batch_size,
            threads=threads,
            seconds=seconds,
            public_key=trusted_key(public_key),
        ),
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    write_profile(out, measured)
    if json_:
        print(measured.model_dump_json())
        return
    print_edge_profile(measured)
    print(f"Wrote {out}")


class Interruption:
    """Notes SIGINT and SIGTERM, so that the step at hand is finished; a second one ends at once."""

    def __init__(self) -> None:
        self.by: int | None = None
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)

    def is_asked(self) -> bool:
        """Return whether a signal has come."""
        return self.by is not None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.by is not None:
            raise KeyboardInterrupt
        self.by = number


def _log_to_stderr(*, debug: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if debug else logging.INFO,
        format="%(message)s",
    )
    logging.captureWarnings(capture=True)


def main() -> None:
    """Run the command line."""
    console.run(app)
