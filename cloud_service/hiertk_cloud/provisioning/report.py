"""What `hiertk-cloud provision` and `revoke` say: lines for people, JSON for programs."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from hiertk_protocol.pairing import Pairing
from rich.console import Console
from rich.table import Table

from hiertk_cloud.provisioning.broker_files import BrokerChange, broker_expires
from hiertk_cloud.provisioning.devices import BROKER_TABLE, DeviceFiles
from hiertk_cloud.provisioning.registry import Registry


def print_list(registry: Registry | None, *, as_json: bool) -> None:
    """Print who was provisioned. Raises StorageError."""
    devices = registry.devices if registry else {}
    expires = broker_expires(registry) if registry else None
    if as_json:
        listed = {
            name: {
                "kind": one.kind,
                "deployment": one.deployment,
                "expires": _iso(one.expires),
                "revoked": _iso(one.revoked),
            }
            for name, one in devices.items()
        }
        print(json.dumps({"devices": listed, "broker_expires": _iso(expires)}))
        return
    if not devices:
        print("No device was provisioned.")
        return
    table = Table("device", "kind", "deployment", "expires", "revoked")
    for name, one in devices.items():
        table.add_row(
            name, one.kind, one.deployment or "every", _day(one.expires), _day(one.revoked)
        )
    Console().print(table)
    print(f"The broker's own certificate: until {_day(expires)}; any later call renews it in time.")


def print_device(name: str, made: DeviceFiles) -> None:
    """Print what was made for a device, and what to do with it."""
    until = f" until {_day(made.device.expires)}" if made.device.expires else ""
    deployment = made.device.deployment
    allowed = f"deployment {deployment}" if deployment else "every deployment"
    verb = "renewed" if made.renewed else "made"
    print(f"{name}: {made.device.kind} {verb}, good{until} for {allowed}.")
    print(f"Copy {made.folder} to the device as /etc/hiertk/{name}, then delete it here. There,")
    print(f"put the table of its {BROKER_TABLE} into /etc/hiertk/{name}.toml, or by hand:")
    print(f"  hiertk-edge run {' '.join(made.options)} --bundle ... --data ...")


def print_pairing(pairing: Pairing, out: Path | None, *, is_new: bool) -> None:
    """Print what was done for a phone, and what to do with its code, which is not repeated."""
    before = "" if is_new else " What it had before ends."
    print(
        f"{pairing.device} may come in, for deployment {pairing.deployment}, at {pairing.broker}."
        f"{before}"
    )
    if out is None:
        print("Scan the code with the app. It holds a password: clear the screen then.")
    else:
        print(f"Scan {out} with the app. It holds a password: delete it then.")


def print_broker(registry: Registry, change: BrokerChange) -> None:
    """Print what the broker needs now, and what the service is told."""
    print(what_to_do(change))
    print(
        f"The service: broker mqtts://localhost:{registry.broker_port + 2} (or another of the "
        f"broker's names), with ca.pem, hiertk-cloud.pem and .key in {registry.service_folder}."
    )


def what_to_do(change: BrokerChange) -> str:
    """Say how the broker takes up what was changed."""
    if change.must_restart:
        return (
            f"The broker: its settings are new. Start it again with them: "
            f"mosquitto -c {change.settings}"
        )
    return "The broker: let it read its files again: systemctl reload mosquitto (a SIGHUP)."


def made_json(made: DeviceFiles | None) -> dict[str, Any]:
    """Return what was made for a device."""
    if made is None:
        return {}
    return {
        "kind": made.device.kind,
        "deployment": made.device.deployment,
        "expires": _iso(made.device.expires),
        "renewed": made.renewed,
        "folder": str(made.folder),
        "options": list(made.options),
    }


def change_json(registry: Registry, change: BrokerChange) -> dict[str, Any]:
    """Return what the broker needs now."""
    return {
        "mosquitto": str(change.settings),
        "broker_must": "restart" if change.must_restart else "reload",
        "service": registry.service_folder,
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _day(time: datetime | None) -> str:
    return "" if time is None else time.date().isoformat()
