"""`hiertk-cloud classes`: what the classes are, and what only the operator may change of them."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from hiertk_protocol.errors import ConfigError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hiertk_cloud.classes.registry import ClassRegistry

Config = Annotated[
    Path | None,
    typer.Option(help="The configuration. Default: /etc/hiertk/cloud.toml, if it is there."),
]
State = Annotated[
    Path | None, typer.Option(help="The service's state folder. Default: the configuration's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Name = Annotated[str, typer.Argument(help="The class's name.")]

classes = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@classes.callback()
def list_classes(
    context: typer.Context,
    *,
    config: Config = None,
    state: State = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """List the classes, their slots, and which devices have put the newest class map in place.

    Devices name classes themselves; each gets a slot, and every device learns of it. Here the
    operator adds one by hand, merges two spellings, or retires one. It works whether the service
    runs or not: a running one publishes the change within about a second.

    Example: hiertk-cloud classes --state cloud-state/
    """
    if context.invoked_subcommand is not None:
        if config or state or json_ or debug:
            command = context.invoked_subcommand
            raise typer.BadParameter(f"put options behind the command: classes {command} --state")
        return
    from hiertk_cloud.classes import report

    with _registry(config, state) as registry:
        report.print_classes(registry, as_json=json_)


@classes.command()
def add(
    name: Name,
    *,
    config: Config = None,
    state: State = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Give a class a slot, as if a device had asked; one that has a slot keeps it.

    A retired name may be added again: it is a new class then, which knows nothing of the old one.

    Example: hiertk-cloud classes add boot --state cloud-state/
    """
    from hiertk_cloud.classes import report

    with _registry(config, state) as registry:
        given = registry.request(name)
        text = f"{name!r} has slot {given.slot} since class map {given.version}."
        report.print_change(registry, text, as_json=json_)


@classes.command()
def merge(
    name: Name,
    *,
    into: Annotated[str, typer.Option(help="The class that it is to be an alias of.")],
    config: Config = None,
    state: State = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Let one class be another name of a second one. It cannot be undone.

    What was learned and stored under NAME counts for the other class from now on. NAME's slot
    becomes free once every device has confirmed that.

    Example: hiertk-cloud classes merge trainers --into sneaker --state cloud-state/
    """
    from hiertk_cloud.classes import report

    with _registry(config, state) as registry:
        target = registry.merge(name, into)
        text = f"{name!r} is {target.name!r} in slot {target.slot}."
        report.print_change(registry, text, as_json=json_)


@classes.command()
def retire(
    name: Name,
    *,
    config: Config = None,
    state: State = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Take a class out of the map: nothing is trained on it or predicted as it any more.

    Its slot becomes free once every device has confirmed that. `hiertk-cloud classes add NAME`
    brings the name back, as a new class that has to be taught again. A device that names the class
    once more brings it back, too.

    Example: hiertk-cloud classes retire boot --state cloud-state/
    """
    from hiertk_cloud.classes import report

    with _registry(config, state) as registry:
        is_new = registry.retire(name)
        text = f"{name!r} is retired." if is_new else f"{name!r} was retired before."
        report.print_change(registry, text, as_json=json_)


@classes.command()
def forget_device(
    device: Annotated[str, typer.Argument(help="The device's name.")],
    *,
    config: Config = None,
    state: State = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Wait no longer for a device that is gone for good to confirm that a slot is free.

    Should it come back, it is known again with its next message, and nothing it sends is taken for
    another class: its messages name the class map that they were made with.

    Example: hiertk-cloud classes forget-device pi-3 --state cloud-state/
    """
    from hiertk_cloud.classes import report

    with _registry(config, state) as registry:
        was_known = registry.forget_device(device)
        text = f"{device} is {'forgotten' if was_known else 'not known'}."
        report.print_change(registry, text, as_json=json_)


@contextmanager
def _registry(config: Path | None, state: Path | None) -> "Iterator[ClassRegistry]":
    from contextlib import closing

    from hiertk_cloud.classes.registry import ClassRegistry
    from hiertk_cloud.state import StateFolder

    if state is None:
        from hiertk_cloud.config import load_config

        state = load_config(config).state
    with closing(ClassRegistry.existing(StateFolder(state).classes)) as registry:
        try:
            yield registry
        except ProtocolError as error:  # of a message for a device; for a command it is an option
            raise ConfigError(str(error)) from error
