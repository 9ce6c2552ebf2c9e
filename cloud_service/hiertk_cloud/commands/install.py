"""`hiertk-cloud install`: put the service in place, or take it away."""

import json
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol.errors import ConfigError


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
    from hiertk_cloud.installation import Installation, find_program

    if not root.is_dir():
        raise ConfigError(f"--root {root} is not a folder: make the image first")
    if program is not None and not program.is_absolute():
        raise ConfigError(f"--program {program} is not absolute: systemd would not find it")
    at = program or (Path("hiertk-cloud") if uninstall else find_program(root))
    place = Installation(root, at, is_dry=dry_run)
    deeds = place.uninstall() if uninstall else place.install()
    steps = [] if uninstall or dry_run else _next_steps(root, is_live=place.is_live)
    if json_:
        done = [{"path": str(deed.path), "done": deed.done} for deed in deeds]
        print(json.dumps({"dry_run": dry_run, "deeds": done, "next": steps}))
        return
    for deed in deeds:
        print(f"{'would be ' if dry_run else ''}{deed.done:<9} {deed.path}")
    if uninstall:
        print("State stays in /var/lib/private/hiertk-cloud.")
    if steps:
        print("Next:")
    for step in steps:
        print(f"  {step}")


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
