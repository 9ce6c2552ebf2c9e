"""What belongs to the devices of a machine, and where it is put."""

from pathlib import Path

from hiertk_protocol.host.installation import UNITS, WANTED, Installation, Parts, quoted, shipped
from hiertk_protocol.topics import check_device_name

UNIT = "hiertk-edge@.service"
_PACKAGE = "hiertk_edge"
_SHIPPED_PROGRAM = "/opt/hiertk/bin/hiertk-edge"
_SHIPPED_DEVICE = "pi-1"
_SETTINGS = Path("etc/hiertk")


def unit_of(device: str) -> str:
    """Return the name by which systemctl knows a device."""
    return f"hiertk-edge@{device}.service"


def of_no_device(root: Path, program: Path, *, is_dry: bool = False) -> Installation:
    """Return what all devices of a machine share: the unit.

    program: absolute path of hiertk-edge as the unit will see it.
    """
    parts = Parts(
        units={UNITS / UNIT: _unit(program)}, settings={}, secrets=(), running=unit_of("*")
    )
    return Installation(root, parts, is_dry=is_dry)


def of_device(
    root: Path, program: Path, device: str, *, camera: bool = False, is_dry: bool = False
) -> Installation:
    """Return the unit, and one device's configuration and secrets. Raises ConfigError."""
    check_device_name(device)
    units = {UNITS / UNIT: _unit(program)}
    if camera:
        units[_camera_of(device)] = shipped(_PACKAGE, "camera.conf")
    example = shipped(_PACKAGE, "device.toml")
    parts = Parts(
        units=units,
        settings={_SETTINGS / f"{device}.toml": example.replace(_SHIPPED_DEVICE, device)},
        secrets=(_SETTINGS / device,),
        running=unit_of(device),
    )
    return Installation(root, parts, is_dry=is_dry)


def without_device(root: Path, device: str, *, is_dry: bool = False) -> Installation:
    """Return what goes when one device is taken away: the unit stays for the others."""
    check_device_name(device)
    parts = Parts(
        units={_camera_of(device): ""},
        settings={_SETTINGS / f"{device}.toml": ""},
        secrets=(_SETTINGS / device,),
        running=unit_of(device),
        enabled=(WANTED / unit_of(device),),
    )
    return Installation(root, parts, is_dry=is_dry)


def without_any(root: Path, *, is_dry: bool = False) -> Installation:
    """Return what goes with the unit: all devices."""
    cameras = (root / UNITS).glob(str(_camera_of("*").relative_to(UNITS)))
    enabled = (root / WANTED).glob(unit_of("*"))
    going = [path.relative_to(root) for path in sorted((*cameras, *enabled))]
    parts = Parts(
        units={UNITS / UNIT: ""},
        settings={},
        secrets=(),
        running=unit_of("*"),
        enabled=tuple(going),
    )
    return Installation(root, parts, is_dry=is_dry)


def _unit(program: Path) -> str:
    return shipped(_PACKAGE, UNIT).replace(_SHIPPED_PROGRAM, quoted(program))


def _camera_of(device: str) -> Path:
    return UNITS / f"{unit_of(device)}.d" / "camera.conf"
