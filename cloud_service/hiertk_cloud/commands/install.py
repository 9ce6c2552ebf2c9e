"""`hiertk-cloud install`: put the service in place, or take it away."""

from pathlib import Path
from typing import Annotated

import typer


def install(
    *,
    root: Annotated[
        Path, typer.Option(help="Put it into the image whose root is this folder.")
    ] = Path("/"),
    program: Annotated[
        Path | None,
        typer.Option(help="Absolute path of hiertk-cloud there. Default: that of this one."),
    ] = None,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="Stop the service and remove its unit.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Put the service in place: systemd unit, configuration, and the folder of its secrets.

    It needs root. Doing it again is harmless: a configuration that is there stays as it is, and
    the unit is brought up to date. No user is made: systemd gives the service one of its own while
    it runs (DynamicUser). --uninstall leaves configuration, secrets and state.

    Example: sudo /opt/hiertk/bin/hiertk-cloud install
    """
    from hiertk_protocol.host.installation import check_places, find_program, print_deeds

    from hiertk_cloud.installation import installation

    check_places(root, program)
    name = "hiertk-cloud"
    at = program or (Path(name) if uninstall else find_program(name, root, "hiertk[cloud]"))
    place = installation(root, at, is_dry=dry_run)
    deeds = place.uninstall() if uninstall else place.install()
    steps = [] if uninstall or dry_run else _next_steps(root, is_live=place.is_live)
    print_deeds(deeds, next_steps=steps, is_dry=dry_run, as_json=json_)
    if uninstall and not json_:
        print("State stays in /var/lib/private/hiertk-cloud.")


def _next_steps(root: Path, *, is_live: bool) -> list[str]:
    folder = root / "etc" / "hiertk"
    enable = "systemctl enable --now hiertk-cloud"
    if not is_live:
        enable = f"systemctl --root={root} enable hiertk-cloud"
    return [
        f"edit {folder / 'cloud.toml'}",
        f"put keys and passwords, mode 600, into {folder / 'credentials'}",
        f"hiertk-cloud check --config {folder / 'cloud.toml'}",
        enable,
    ]
