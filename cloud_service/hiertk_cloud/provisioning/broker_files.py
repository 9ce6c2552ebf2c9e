"""The broker's folder and the service's, brought up to date with the registry."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.private_files import write_private

from hiertk_cloud.provisioning import mosquitto
from hiertk_cloud.provisioning.authority import (
    Authority,
    give_to_group,
    is_fresh,
    kept_key,
    read_certificate,
)
from hiertk_cloud.provisioning.certificates import (
    AUTHORITY_DAYS,
    Issuer,
    broker_certificate,
    hosts_of,
    revocation_list,
    service_certificate,
    to_pem,
)
from hiertk_cloud.provisioning.names import SERVICE
from hiertk_cloud.provisioning.registry import Registry

_BROKER_DAYS = 825
_GROUP = "mosquitto"
_READ_BY_GROUP = 0o640
# So that the service, and a device on the broker's machine, can reach it by these, too.
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class BrokerChange:
    """What the operator must let the broker do now. settings: where its settings file is."""

    settings: Path
    must_restart: bool

    def and_then(self, later: "BrokerChange") -> "BrokerChange":
        """Return both changes as one."""
        return BrokerChange(later.settings, self.must_restart or later.must_restart)


def update_broker(authority: Authority, registry: Registry) -> BrokerChange:
    """Write all files of broker and service. Raises ConfigError or StorageError."""
    issuer = authority.issuer()
    folder, service = Path(registry.broker_folder), Path(registry.service_folder)
    _prepare(folder)
    _prepare_service(service)
    _write_service(service, issuer, folder)
    _write_certificate(folder, issuer, registry)
    _put(folder / mosquitto.AUTHORITY, to_pem(issuer.certificate))
    revoked = revocation_list(issuer, registry.revoked(), registry.list_number)
    _put(folder / mosquitto.REVOKED, revoked)
    _put(folder / mosquitto.ACCESS, mosquitto.access_list(registry).encode())
    _put(folder / mosquitto.PASSWORDS, mosquitto.password_lines(registry).encode())
    return _write_settings(folder, registry)


def broker_expires(registry: Registry) -> datetime | None:
    """Return when the broker's certificate ends; None if there is none. Raises StorageError."""
    path = Path(registry.broker_folder) / mosquitto.CERTIFICATE
    return read_certificate(path).not_valid_after_utc if path.exists() else None


def _prepare(folder: Path) -> None:
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o750)
            give_to_group(folder, _GROUP)
        mode = folder.stat().st_mode
    except OSError as error:
        raise StorageError(
            f"{folder}: {error.strerror}: run it as root, or choose another --mosquitto"
        ) from error
    if mode & 0o007:
        raise ConfigError(
            f"{folder} is open to everybody, and the broker's key would lie there: chmod o= it, "
            "or choose another --mosquitto"
        )


def _prepare_service(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: {error.strerror}: run it as root, or choose another --service"
        ) from error


def _write_service(service: Path, issuer: Issuer, folder: Path) -> None:
    key = kept_key(service / f"{SERVICE}.key")
    path = service / f"{SERVICE}.pem"
    if not path.exists() or not is_fresh(read_certificate(path), AUTHORITY_DAYS):
        write_private(path, to_pem(service_certificate(key)))
    write_private(service / "ca.pem", to_pem(issuer.certificate))
    _put(folder / mosquitto.SERVICE_CERTIFICATE, to_pem(read_certificate(path)))


def _write_certificate(folder: Path, issuer: Issuer, registry: Registry) -> None:
    # The key stays the same, so that certificate and key fit whenever a crash comes between.
    key = kept_key(folder / mosquitto.KEY)
    _allow_group(folder / mosquitto.KEY)
    path = folder / mosquitto.CERTIFICATE
    hosts = tuple(dict.fromkeys((*registry.broker_hosts, *_LOCAL_HOSTS)))
    if path.exists():
        found = read_certificate(path)
        ours = found.issuer == issuer.certificate.subject and found.public_key() == key.public_key()
        if ours and set(hosts_of(found)) == set(hosts) and is_fresh(found, _BROKER_DAYS):
            return
    _put(path, to_pem(broker_certificate(issuer, key, hosts, _BROKER_DAYS)))


def _write_settings(folder: Path, registry: Registry) -> BrokerChange:
    path = folder / mosquitto.SETTINGS
    # A revoked one counts: a listener cannot be taken away from a broker that runs.
    with_passwords = any(device.kind == "password" for device in registry.devices.values())
    text = mosquitto.settings(folder, registry.broker_port, with_passwords=with_passwords).encode()
    must_restart = not path.exists() or path.read_bytes() != text
    if must_restart:
        _put(path, text)
    return BrokerChange(path, must_restart)


def _put(path: Path, data: bytes) -> None:
    write_private(path, data, mode=_READ_BY_GROUP)
    give_to_group(path, _GROUP)


def _allow_group(path: Path) -> None:
    path.chmod(_READ_BY_GROUP)
    give_to_group(path, _GROUP)
