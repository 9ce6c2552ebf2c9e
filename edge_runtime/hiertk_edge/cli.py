"""The command line of a device."""

import typer
from hiertk_protocol import console

from hiertk_edge.commands.doctor import doctor
from hiertk_edge.commands.install import install
from hiertk_edge.commands.predict import predict
from hiertk_edge.commands.profile import profile
from hiertk_edge.commands.run import run
from hiertk_edge.commands.status import status
from hiertk_edge.commands.verify import verify
from hiertk_edge.commands.weights import weights

app = typer.Typer(
    name="hiertk-edge",
    help="Train the edge partition of a bundle on this device, and send its features to the cloud.",
    epilog="Exit codes: 0 done, 2 wrong command line, 3 settings or data, 4 weights not finite, "
    "6 not equal to the reference, 7 bundle, 8 training diverged, 9 spool not empty at the "
    "timeout, 10 disk, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


for command in (run, status, doctor, install, predict, verify, weights, profile):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    console.run(app)
