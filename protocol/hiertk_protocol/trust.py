"""Whose signature this machine asks for on a bundle. Without a key nothing heavy is imported."""

from pathlib import Path
from typing import TYPE_CHECKING

from hiertk_protocol.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

DEFAULT_PUBLIC_KEY = Path("/etc/hiertk/bundle.pub")


def trusted_key(path: Path | None, default: Path | None = None) -> "Ed25519PublicKey | None":
    """Return the key that bundles must be signed with; None asks for no signature.

    path: a file that was named; None takes /etc/hiertk/bundle.pub, or `default`, if there is one.
    Raises ConfigError: a key that cannot be read never means "no signature is asked for".
    """
    found = path or _existing(DEFAULT_PUBLIC_KEY if default is None else default)
    if found is None:
        return None
    # `cryptography` takes 7 MB, which a device without a key need not spend.
    from hiertk_protocol.signature import read_public_key

    return read_public_key(found)


def _existing(path: Path) -> Path | None:
    try:
        path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"public key {path}: {error.strerror}") from error
    return path
