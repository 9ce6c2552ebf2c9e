"""The command line of the cloud service."""

import typer
from hiertk_protocol import console

from hiertk_cloud.commands.check import check
from hiertk_cloud.commands.classes import classes
from hiertk_cloud.commands.install import install
from hiertk_cloud.commands.pair import pair
from hiertk_cloud.commands.provision import provision, revoke
from hiertk_cloud.commands.serve import serve

app = typer.Typer(
    name="hiertk-cloud",
    help="Train the cloud partition of a bundle from the features that devices send.",
    epilog="Exit codes: 0 done, 2 wrong command line, 3 settings or a state folder in use, "
    "4 network, 7 bundle, 10 disk, 130 interrupted twice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


for command in (serve, check, install, provision, pair, revoke):
    app.command()(command)
app.add_typer(classes, name="classes")


def main() -> None:
    """Run the command line."""
    console.run(app)
