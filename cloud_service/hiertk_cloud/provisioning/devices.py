"""Provisioning a device and revoking it."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_folder
from hiertk_protocol.private_files import write_new_private

from hiertk_cloud.provisioning.authority import Authority
from hiertk_cloud.provisioning.broker_files import BrokerChange, update_broker
from hiertk_cloud.provisioning.certificates import device_certificate, new_key, now, to_pem
from hiertk_cloud.provisioning.mosquitto import hash_password
from hiertk_cloud.provisioning.names import check_broker_host, check_new_device
from hiertk_cloud.provisioning.registry import Device, Issued, Kind, Registry

DEFAULT_PORT = 8883
_PASSWORD_BYTES = 24
BROKER_TABLE = "broker.toml"
_BEFORE_THAT = "device.env"  # what earlier versions wrote
_DEVICE_FILES = {"ca.pem", "device.pem", "device.key", "password", BROKER_TABLE, _BEFORE_THAT}


@dataclass(frozen=True)
class BrokerPlace:
    """How the broker is reached, and where its files and the service's go.

    None keeps what the registry has.
    """

    hosts: tuple[str, ...] = ()
    port: int | None = None
    folder: Path | None = None
    service: Path | None = None


@dataclass(frozen=True)
class DeviceFiles:
    """What was made for a device. options: of `hiertk-edge run`, once the folder is there."""

    folder: Path
    device: Device
    renewed: bool
    options: tuple[str, ...]


def refresh(authority: Authority, place: BrokerPlace) -> tuple[Registry, BrokerChange]:
    """Bring authority, broker and service up to date, made at the first call.

    Raises ConfigError if nobody ever said how the broker is reached.
    """
    registry = _placed(authority, place)
    authority.issuer()
    return commit(authority, registry)


def provision(
    authority: Authority,
    registry: Registry,
    name: str,
    *,
    kind: Kind,
    deployment: str | None,
    days: int,
    out: Path,
) -> tuple[DeviceFiles, BrokerChange]:
    """Make a device's credentials, or new ones; its old certificates stay good until they end.

    Changing the kind, or coming back after `revoke`, ends the old ones. Raises ConfigError or
    StorageError.
    """
    check_new_device(name, registry.broker_hosts)
    _check_ours(out)
    before = registry.devices.get(name)
    device = renewed(before, kind, deployment)
    secret: dict[str, bytes] = {}
    if kind == "certificate":
        key = new_key()
        certificate = device_certificate(authority.issuer(), key, name, days)
        issued = Issued(serial=certificate.serial_number, expires=certificate.not_valid_after_utc)
        device = device.model_copy(update={"certificates": (*device.certificates, issued)})
        secret = {"device.pem": to_pem(certificate), "device.key": to_pem(key)}
    else:
        password = new_password()
        device = device.model_copy(update={"password": hash_password(password)})
        secret = {"password": f"{password}\n".encode()}
    # Noted before it is handed out: what is unknown could not be revoked.
    registry, change = commit(authority, registry.with_device(name, device))
    options = run_options(registry, name, kind, Path("/etc/hiertk") / name)
    _write_folder(authority, out, secret, options)
    return DeviceFiles(out, device, before is not None, options), change


def revoke(authority: Authority, registry: Registry, name: str) -> tuple[Device, BrokerChange]:
    """Refuse a device from now on; again is harmless. Raises ConfigError or StorageError."""
    device = registry.devices.get(name)
    if device is None:
        raise ConfigError(f"no device {name!r} was provisioned: --list shows which were")
    if device.revoked is None:
        device = device.with_all_revoked(now()).model_copy(update={"revoked": now()})
    _, change = commit(authority, registry.with_device(name, device))
    return device, change


def new_password() -> str:
    """Draw a password."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def broker_url(registry: Registry, kind: Kind) -> str:
    """Return the broker's address for devices of a kind."""
    host = registry.broker_hosts[0]
    host = f"[{host}]" if ":" in host else host
    return f"mqtts://{host}:{registry.broker_port + (1 if kind == 'password' else 0)}"


def run_options(registry: Registry, name: str, kind: Kind, folder: Path) -> tuple[str, ...]:
    """Return the options of `hiertk-edge run` for files in a folder."""
    broker = broker_url(registry, kind)
    shared = ("--broker", broker, "--device", name, "--ca", f"{folder}/ca.pem")
    if kind == "password":
        return (*shared, "--username", name, "--password-file", f"{folder}/password")
    return (*shared, "--certificate", f"{folder}/device.pem", "--key", f"{folder}/device.key")


def _placed(authority: Authority, place: BrokerPlace) -> Registry:
    registry = authority.registry()
    hosts = tuple(check_broker_host(host) for host in place.hosts)
    if registry is None:
        if not hosts:
            raise ConfigError(
                "say by which name or address devices reach the broker: --broker-host NAME"
            )
        folder = place.folder or authority.folder.with_name("mosquitto")
        service = place.service or authority.folder.with_name("credentials")
        return Registry(
            broker_hosts=hosts,
            broker_port=place.port or DEFAULT_PORT,
            broker_folder=str(folder.absolute()),
            service_folder=str(service.absolute()),
        )
    changes = {
        "broker_hosts": hosts or registry.broker_hosts,
        "broker_port": place.port or registry.broker_port,
        "broker_folder": str(place.folder.absolute()) if place.folder else registry.broker_folder,
        "service_folder": str(place.service.absolute())
        if place.service
        else registry.service_folder,
    }
    return registry.model_copy(update=changes)


def commit(authority: Authority, registry: Registry) -> tuple[Registry, BrokerChange]:
    """Write the registry, and then all that follows from it. Raises ConfigError or StorageError."""
    registry = registry.model_copy(update={"list_number": registry.list_number + 1})
    authority.write(registry)
    return registry, update_broker(authority, registry)


def renewed(before: Device | None, kind: Kind, deployment: str | None) -> Device:
    """Return a device that gets new credentials of a kind; what it may not keep is revoked."""
    if before is None:
        return Device(kind=kind, deployment=deployment)
    time = now()
    if before.kind != kind or before.revoked is not None:
        before = before.with_all_revoked(time)
    return before.without_expired(time).model_copy(
        update={"kind": kind, "deployment": deployment, "revoked": None}
    )


def _check_ours(out: Path) -> None:
    if not out.exists():
        return
    found = {path.name for path in out.iterdir()} if out.is_dir() else {""}
    if not found <= _DEVICE_FILES:
        raise ConfigError(f"--out {out} holds other files: choose a folder of its own")


def _write_folder(
    authority: Authority, out: Path, secret: dict[str, bytes], options: tuple[str, ...]
) -> None:
    with atomic_folder(out, replace=True) as temporary:
        temporary.chmod(0o700)  # and with it the files: 0600
        for name, data in secret.items():
            write_new_private(temporary / name, data)
        write_new_private(temporary / "ca.pem", authority.ca.read_bytes())
        write_new_private(temporary / BROKER_TABLE, _broker_table(options).encode())


def _broker_table(options: tuple[str, ...]) -> str:
    """Return the table for the device's configuration; its files are looked for in their folder."""
    _, broker, _, device, _, ca, *own = options
    keys = {"url": broker, "ca": Path(ca).name}
    for option, value in zip(own[::2], own[1::2], strict=True):
        name = option.removeprefix("--").replace("-", "_")
        keys[name] = value if name == "username" else Path(value).name
    table = "\n".join(f'{name} = "{value}"' for name, value in keys.items())
    return f"""\
# The table for /etc/hiertk/{device}.toml, with this folder as /etc/hiertk/{device}.
# By hand: hiertk-edge run {" ".join(options)} ...
[broker]
{table}
"""
