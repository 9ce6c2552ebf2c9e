"""Files and folders that a configuration names: there, readable, of the right kind, in date."""

import os
import stat
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.host.secret_files import refuse_readable_by_others

_MAX_PEM_BYTES = 1 << 20


def look_at_state(path: Path) -> str:
    """Say whether a state folder can be written; nothing is. Raises StorageError."""
    nearest = nearest_existing(path)
    if not nearest.is_dir():
        raise StorageError(f"{nearest} is not a folder: choose another one for state")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StorageError(f"{nearest} cannot be written: chown it, or choose another folder")
    return str(path) if path.exists() else f"{path} will be made"


def look_at_certificates(path: Path) -> str:
    """Read certificates and their dates. Raises ConfigError."""
    return _in_date(path, _certificates(path))


def look_at_pair(certificate: Path, key: Path) -> str:
    """Say whether a certificate is in date and the key is its own. Raises ConfigError."""
    certificates = _certificates(certificate)
    data = _read(key)
    refuse_readable_by_others(key, key.stat().st_mode)
    try:
        private = load_pem_private_key(data, password=None)
    except TypeError as error:
        raise ConfigError(f"{key} is encrypted: a service cannot ask: decrypt it") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{key} is no private key in PEM: copy it again") from error
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    wanted = certificates[0].public_key().public_bytes(*form)
    if private.public_key().public_bytes(*form) != wanted:
        raise ConfigError(f"{key} is not the key of {certificate}: copy both from one place")
    return _in_date(certificate, certificates)


def advice_on_access(path: Path, unit: str) -> str:
    """Say so if only root and the owner can read something: a unit's own user is neither."""
    wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    if path.stat().st_mode & wanted == wanted:
        return ""
    return f"; {unit} could not read it: chmod -R a+rX {path}"


def nearest_existing(path: Path) -> Path:
    """Return the path, or what there is above it."""
    absolute = path.absolute()
    return next(one for one in (absolute, *absolute.parents) if one.exists())


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate in PEM: copy it again") from error


def _in_date(path: Path, certificates: list[x509.Certificate]) -> str:
    now = datetime.now(timezone.utc)
    for one in certificates:
        if now > one.not_valid_after_utc:
            raise ConfigError(f"{path} has expired on {one.not_valid_after_utc:%F}: renew it")
        if now < one.not_valid_before_utc:
            since = f"{one.not_valid_before_utc:%F %T} UTC"
            raise ConfigError(f"{path} is valid only from {since}: is the clock right?")
    last = min(one.not_valid_after_utc for one in certificates)
    return f"{path}, valid until {last:%F}, {(last - now).days} days"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_PEM_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: put it there, or name another") from error
    if len(data) > _MAX_PEM_BYTES:
        raise ConfigError(f"{path}: more than {_MAX_PEM_BYTES} bytes: not a file in PEM")
    return data
