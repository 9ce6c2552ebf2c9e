"""`hiertk-edge install`: put a device's service in place, or take it away."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiertk_edge.commands.options import Debug, Json

if TYPE_CHECKING:
    from hiertk_protocol.host.installation import Installation


def install(
    *,
    device: Annotated[
        str | None,
        typer.Option(help="The device's name. Without it only the unit, for any device."),
    ] = None,
    camera: Annotated[
        bool, typer.Option("--camera", help="Let the service of --device open cameras.")
    ] = False,
    root: Annotated[
        Path, typer.Option(help="Put it into the image whose root is this folder.")
    ] = Path("/"),
    program: Annotated[
        Path | None,
        typer.Option(help="Absolute path of hiertk-edge there. Default: that of this one."),
    ] = None,
    uninstall: Annotated[
        bool,
        typer.Option(
            "--uninstall", help="Stop the service of --device; without it all, and the unit goes."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Put a device's service in place: systemd unit, configuration, and the folder of its secrets.

    It needs root. Doing it again is harmless: a configuration that is there stays as it is, and
    the unit is brought up to date. No user is made: systemd gives the service one of its own while
    it runs (DynamicUser). --uninstall leaves configuration, secrets and state.

    Example: sudo /opt/hiertk/bin/hiertk-edge install --device pi-1
    """
    from hiertk_protocol.errors import ConfigError
    from hiertk_protocol.host.installation import check_places, print_deeds

    if camera and device is None:
        raise ConfigError("--camera is of one device: name it, --device NAME")
    check_places(root, program)
    if uninstall:
        place = _going(root, device, is_dry=dry_run)
        deeds = place.uninstall()
    else:
        place = _coming(root, program, device, camera=camera, is_dry=dry_run)
        deeds = place.install()
    steps = [] if uninstall or dry_run else _next_steps(root, device, is_live=place.is_live)
    print_deeds(deeds, next_steps=steps, is_dry=dry_run, as_json=json_)
    if uninstall and not json_:
        print("State stays in /var/lib/private/hiertk-edge.")


def _going(root: Path, device: str | None, *, is_dry: bool) -> "Installation":
    from hiertk_edge.installation import without_any, without_device

    if device is None:
        return without_any(root, is_dry=is_dry)
    return without_device(root, device, is_dry=is_dry)


def _coming(
    root: Path, program: Path | None, device: str | None, *, camera: bool, is_dry: bool
) -> "Installation":
    from hiertk_protocol.host.installation import find_program

    from hiertk_edge.installation import of_device, of_no_device

    at = program or find_program("hiertk-edge", root, "hiertk[edge]")
    if device is None:
        return of_no_device(root, at, is_dry=is_dry)
    return of_device(root, at, device, camera=camera, is_dry=is_dry)


def _next_steps(root: Path, device: str | None, *, is_live: bool) -> list[str]:
    if device is None:
        return ["hiertk-edge install --device NAME"]
    folder = root / "etc" / "hiertk"
    enable = f"systemctl enable --now hiertk-edge@{device}"
    if not is_live:
        enable = f"systemctl --root={root} enable hiertk-edge@{device}"
    return [
        f"edit {folder / f'{device}.toml'}",
        f"put what hiertk-cloud provision made, mode 600, into {folder / device}",
        f"hiertk-edge doctor --config {folder / f'{device}.toml'}",
        enable,
    ]
