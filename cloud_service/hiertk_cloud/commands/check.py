"""`hiertk-cloud check`: say whether the service would run with its configuration."""

from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol.errors import ConfigError


def check(
    *,
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration. Default: /etc/hiertk/cloud.toml, if it is there."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out whether the broker can be reached.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Report all that is wrong with the configuration and with what it names.

    Its keys, the bundle, secrets, certificates, state folder, free disk, and whether the broker
    takes the connection. It changes nothing, and may run beside the service. Leaves with 3 if
    something is wrong.

    Example: sudo hiertk-cloud check --config /etc/hiertk/cloud.toml
    """
    from hiertk_protocol.host.checks import print_checks

    from hiertk_cloud.checks import run_checks

    checks = run_checks(config, offline=offline)
    print_checks(checks, as_json=json_)
    if not all(one.ok for one in checks):
        raise typer.Exit(ConfigError.exit_code)
