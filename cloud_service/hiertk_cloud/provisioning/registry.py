"""Which devices were provisioned, how, and which of their certificates are revoked.

The registry is the truth; the broker's files are made from it, whole, each time.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from hiertk_protocol.errors import StorageError
from hiertk_protocol.private_files import write_private
from hiertk_protocol.toml_file import first_problem
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from hiertk_cloud.provisioning.certificates import Revoked

Kind = Literal["certificate", "password"]
_MAX_BYTES = 64 << 20


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Issued(_Record):
    """A certificate that was handed out."""

    serial: int = Field(gt=0)
    expires: AwareDatetime
    revoked: AwareDatetime | None = None


class Device(_Record):
    """One device. deployment: None allows every one. password: as Mosquitto stores it."""

    kind: Kind
    deployment: str | None = None
    certificates: tuple[Issued, ...] = ()
    password: str | None = Field(default=None, repr=False)
    revoked: AwareDatetime | None = None

    @property
    def expires(self) -> datetime | None:
        """When its newest certificate ends; None for a password, which does not."""
        return self.certificates[-1].expires if self.kind == "certificate" else None

    def without_expired(self, now: datetime) -> "Device":
        """Return the device without the certificates that no broker takes any more."""
        kept = tuple(one for one in self.certificates if one.expires > now)
        return self.model_copy(update={"certificates": kept or self.certificates[-1:]})

    def with_all_revoked(self, now: datetime) -> "Device":
        """Return the device with nothing that a broker may take."""
        certificates = tuple(
            one if one.revoked else one.model_copy(update={"revoked": now})
            for one in self.certificates
        )
        return self.model_copy(update={"certificates": certificates, "password": None})


class Registry(_Record):
    """All that was provisioned. list_number: of the newest revocation list."""

    version: Literal[1] = 1
    broker_hosts: tuple[str, ...]
    broker_port: int = Field(ge=1, le=65533)
    broker_folder: str
    service_folder: str
    list_number: int = Field(default=0, ge=0)
    devices: dict[str, Device] = {}

    def with_device(self, name: str, device: Device) -> "Registry":
        """Return the registry with a device added or replaced."""
        devices = {**self.devices, name: device}
        return self.model_copy(update={"devices": dict(sorted(devices.items()))})

    def admitted(self) -> Iterator[tuple[str, Device]]:
        """Yield the devices that are not revoked, by name."""
        return ((name, device) for name, device in self.devices.items() if device.revoked is None)

    def revoked(self) -> Iterator[Revoked]:
        """Yield the certificates that the broker must refuse."""
        for device in self.devices.values():
            for one in device.certificates:
                if one.revoked is not None:
                    yield Revoked(one.serial, one.revoked)


def read_registry(path: Path) -> Registry | None:
    """Read the registry; None if there is none. Raises StorageError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise StorageError(f"{path}: more than {_MAX_BYTES} bytes: not a registry")
        return Registry.model_validate_json(data)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: run it as the authority's owner") from error
    except ValidationError as error:
        raise StorageError(
            f"{path} is damaged: {first_problem(error)}: bring it back from a backup"
        ) from error


def write_registry(path: Path, registry: Registry) -> None:
    """Write the registry atomically. Raises StorageError."""
    write_private(path, registry.model_dump_json(indent=1).encode())
