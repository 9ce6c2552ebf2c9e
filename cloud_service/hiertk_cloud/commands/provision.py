"""`hiertk-cloud provision` and `hiertk-cloud revoke`: who may speak to the broker."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from hiertk_protocol.errors import ConfigError

if TYPE_CHECKING:
    from hiertk_cloud.provisioning.registry import Device, Kind

DEFAULT_AUTHORITY = Path("/etc/hiertk/authority")

AuthorityOption = Annotated[
    Path, typer.Option(help="Folder of the CA and of what was provisioned: for its owner alone.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def provision(
    device: Annotated[
        str | None,
        typer.Argument(help="The device's name. Without it only broker and service are prepared."),
    ] = None,
    *,
    broker_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address that devices reach the broker by; several are possible, the "
            "first is the one they are told. Needed once."
        ),
    ] = None,
    deployment: Annotated[
        str | None,
        typer.Option(help="The only deployment for this device. Default: as before, or every."),
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="The same, from its bundle.")] = None,
    password: Annotated[
        bool | None,
        typer.Option(
            "--password/--certificate",
            help="What the device shows the broker. Default: as before, or a certificate.",
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="How long the device's certificate is good.")
    ] = 825,
    out: Annotated[
        Path | None,
        typer.Option(help="The device's folder to write. Default: AUTHORITY/devices/DEVICE"),
    ] = None,
    authority: AuthorityOption = DEFAULT_AUTHORITY,
    mosquitto: Annotated[
        Path | None,
        typer.Option(help="Folder for the broker's files. Default: mosquitto, beside AUTHORITY"),
    ] = None,
    service: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the service's own files. Default: credentials, beside AUTHORITY"
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65533,
            help="First of three: devices with a certificate, with a password, the service. "
            "Default: 8883",
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Show what was provisioned, and change nothing.")
    ] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Make a device's certificate or password, and all that broker and service need.

    The first call makes a CA, the certificates of broker and service, and Mosquitto's files. The
    same command again renews: the device's old certificate stays good until it ends or is revoked.
    Nothing secret is printed. For a phone: hiertk-cloud pair.

    Example: hiertk-cloud provision pi-1 --broker-host broker.example --bundle bundle/
    """
    from hiertk_cloud.provisioning import report
    from hiertk_cloud.provisioning.authority import open_authority, read_authority
    from hiertk_cloud.provisioning.devices import BrokerPlace, refresh
    from hiertk_cloud.provisioning.devices import provision as provision_device

    if list_:
        report.print_list(read_authority(authority), as_json=json_)
        return

    wanted = chosen_deployment(deployment, bundle)
    place = BrokerPlace(tuple(broker_host or ()), port, mosquitto, service)
    with open_authority(authority) as opened:
        registry, change = refresh(opened, place)
        made = None
        if device is not None:
            before = registry.devices.get(device)
            made, changed = provision_device(
                opened,
                registry,
                device,
                kind=_kind(before, password=password),
                deployment=wanted or (before.deployment if before else None),
                days=days,
                out=(out or opened.devices / device).absolute(),
            )
            change = change.and_then(changed)
    if json_:
        print(
            json.dumps(
                {"device": device, **report.made_json(made), **report.change_json(registry, change)}
            )
        )
        return
    if made is not None:
        report.print_device(device or "", made)
    report.print_broker(registry, change)


def revoke(
    device: Annotated[str, typer.Argument(help="The device's name.")],
    *,
    authority: AuthorityOption = DEFAULT_AUTHORITY,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Refuse a device from now on, with every certificate and password it was ever given.

    What it already sent stays. `hiertk-cloud provision` lets it in again, with new credentials.

    Example: hiertk-cloud revoke pi-1
    """
    from hiertk_cloud.provisioning import report
    from hiertk_cloud.provisioning.authority import open_authority
    from hiertk_cloud.provisioning.devices import revoke as revoke_device

    with open_authority(authority) as opened:
        registry = opened.registry()
        if registry is None:
            raise ConfigError(f"{authority}: nothing was provisioned there: another --authority?")
        _, change = revoke_device(opened, registry, device)
    if json_:
        print(
            json.dumps({"device": device, "revoked": True, **report.change_json(registry, change)})
        )
        return
    print(f"{device} is revoked: once the broker has read its files, it gets nowhere.")
    print(report.what_to_do(change))
    print(
        "A connection with a password ends then. One with a certificate that still stands carries "
        "nothing any more; restarting the broker ends it."
    )


def _kind(before: "Device | None", *, password: bool | None) -> "Kind":
    if password is None:
        return before.kind if before else "certificate"
    return "password" if password else "certificate"


def chosen_deployment(name: str | None, bundle: Path | None) -> str | None:
    """Return the deployment that --deployment and --bundle say. Raises ConfigError."""
    from hiertk_cloud.provisioning.names import check_deployment

    if bundle is None:
        return None if name is None else check_deployment(name)
    from hiertk_protocol.bundle import open_bundle

    found = open_bundle(bundle).manifest.deployment
    if name not in (None, found):
        raise ConfigError(f"--bundle is of deployment {found}, --deployment says {name}: give one")
    return found
