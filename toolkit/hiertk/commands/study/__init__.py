"""`hiertk study`: experiments whose results are kept."""

import typer

from hiertk.commands.study.accuracy import accuracy
from hiertk.commands.study.new_classes import new_classes
from hiertk.commands.study.runtime import runtime

study = typer.Typer(
    name="study",
    help="Run an experiment on the system's own parts, and keep what it finds.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@study.callback()
def _study() -> None:
    """Run an experiment on the system's own parts, and keep what it finds."""


study.command()(accuracy)
study.command(name="new-classes")(new_classes)
study.command()(runtime)
