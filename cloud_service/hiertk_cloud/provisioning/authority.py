"""The authority: a folder with the CA, the registry, and what was made for devices.

What it holds lets anybody in: the folder is its owner's alone. Each file is written atomically and
the registry before all that follows from it, so that after a crash any call mends the rest.
"""

import fcntl
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.private_files import write_private

from hiertk_cloud.provisioning.certificates import (
    Issuer,
    Key,
    new_issuer,
    new_key,
    now,
    parse_certificate,
    parse_key,
    to_pem,
)
from hiertk_cloud.provisioning.registry import Registry, read_registry, write_registry

MAX_PEM_BYTES = 1 << 20
_ASK_AGAIN = "choose another --authority, or bring it back from a backup"


@dataclass(frozen=True)
class Authority:
    """An authority's folder, held by this process."""

    folder: Path

    @property
    def devices(self) -> Path:
        return self.folder / "devices"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def registry(self) -> Registry | None:
        """Return the registry; None before the first call. Raises StorageError."""
        return read_registry(self._registry)

    def write(self, registry: Registry) -> None:
        """Write the registry. Raises StorageError."""
        write_registry(self._registry, registry)

    def issuer(self) -> Issuer:
        """Return the CA, made at the first call. Raises StorageError."""
        key, certificate = self.folder / "ca.key", self.ca
        if not certificate.exists():
            if self._registry.exists():
                raise StorageError(f"{certificate} is missing: {_ASK_AGAIN}")
            made = new_issuer()
            write_private(key, to_pem(made.key))
            write_private(certificate, to_pem(made.certificate))
        issuer = Issuer(read_certificate(certificate), read_key(key))
        if issuer.certificate.public_key() != issuer.key.public_key():
            raise StorageError(f"{certificate} and {key} are not of one pair: {_ASK_AGAIN}")
        return issuer

    @property
    def _registry(self) -> Path:
        return self.folder / "registry.json"


@contextmanager
def open_authority(folder: Path) -> Iterator[Authority]:
    """Make the folder if it is missing, and hold it; waits while another process does.

    Raises ConfigError if others may read it, StorageError if it cannot be written.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            raise ConfigError(
                f"{folder} is open to others, and the CA's key lies there: chmod 700, or another "
                "--authority"
            )
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise StorageError(
            f"{folder}: {error.strerror}: run it as root, or choose another --authority"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Authority(folder)


def read_authority(folder: Path) -> Registry | None:
    """Return the registry of an authority that need not exist. Raises StorageError."""
    return Authority(folder).registry()


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate. Raises StorageError."""
    return parse_certificate(_read(path), str(path))


def read_key(path: Path) -> Key:
    """Read a key. Raises StorageError."""
    return parse_key(_read(path), str(path))


def kept_key(path: Path) -> Key:
    """Return the key in a file, made if it is missing. Raises StorageError."""
    if not path.exists():
        write_private(path, to_pem(new_key()))
    return read_key(path)


def is_fresh(certificate: x509.Certificate, days: int) -> bool:
    """Return whether more than a third of a certificate's usual days are left."""
    return certificate.not_valid_after_utc > now() + timedelta(days=days / 3)


def give_to_group(path: Path, group: str) -> None:
    """Let a group of this system own a file, where there is such a group and we may."""
    try:
        shutil.chown(path, group=group)
    except (LookupError, PermissionError):
        return  # no such group here, or not root: the broker then runs as this very user
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PEM_BYTES)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: {_ASK_AGAIN}") from error
