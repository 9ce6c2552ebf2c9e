"""`hiertk-edge doctor`: what is wrong with a device, and what to do about it."""

from typing import Annotated

import typer
from hiertk_protocol.errors import ConfigError

from hiertk_edge.commands.options import ConfigOption, Debug


def doctor(
    *,
    config: ConfigOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out whether the broker can be reached.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Open the engine, but train no step on it.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    debug: Debug = False,
) -> None:
    """Report all that is wrong with a device, its configuration and what that names.

    Bundle, engine (it trains the golden steps), clock, memory, temperature, images, state folder,
    disk, secrets, certificates, and whether the broker takes the connection. It changes nothing and
    may run beside the device; --quick then spares memory. A broker that gives each name a single
    connection, as that of `hiertk-cloud provision` does, ends the device's own for a moment.
    Leaves with 3 if something is wrong.

    Example: sudo hiertk-edge doctor --config /etc/hiertk/pi-1.toml
    """
    from hiertk_protocol.host.checks import print_checks

    from hiertk_edge.checks import run_checks

    checks = run_checks(config, offline=offline, quick=quick)
    print_checks(checks, as_json=json_)
    if not all(one.ok for one in checks):
        raise typer.Exit(ConfigError.exit_code)
