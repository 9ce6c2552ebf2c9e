"""Who made a bundle: an Ed25519 signature of its manifest, in manifest.sig beside it.

The manifest lists the checksum of every other file, so that its signature covers the whole bundle.
"""

import hashlib
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hiertk_protocol.errors import BundleError, ConfigError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.private_files import write_private

MAX_SIGNATURE_BYTES = 4096
_MAX_KEY_BYTES = 1 << 16
_UNFIT = (ValueError, TypeError, UnsupportedAlgorithm)  # all that a key file was seen to raise


class SignatureFile(BaseModel):
    """manifest.sig: a public key, and the signature of the manifest's bytes that it verifies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_key: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")

    @property
    def fingerprint(self) -> str:
        """The short name of the key that signed."""
        return _fingerprint(bytes.fromhex(self.public_key))

    def verifies(self, manifest: bytes) -> bool:
        """Return whether the key named here has signed exactly this manifest."""
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
        try:
            key.verify(bytes.fromhex(self.signature), manifest)
        except InvalidSignature:
            return False
        return True


def sign_manifest(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return the content of manifest.sig."""
    made = SignatureFile(
        public_key=_raw(key.public_key()).hex(), signature=key.sign(manifest).hex()
    )
    return f"{made.model_dump_json(indent=2)}\n".encode()


def parse_signature(data: bytes, where: str) -> SignatureFile:
    """Read manifest.sig. Raises BundleError."""
    try:
        if len(data) > MAX_SIGNATURE_BYTES:
            raise BundleError(f"{where}: more than {MAX_SIGNATURE_BYTES} bytes: sign it again")
        return SignatureFile.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(f"{where}: not a signature: sign the bundle again") from error


def check_signature(
    manifest: bytes, signature: bytes | None, public_key: Ed25519PublicKey, where: str
) -> None:
    """Raise BundleError unless the manifest was signed with this key. where: manifest.sig."""
    wanted = fingerprint(public_key)
    advice = f"take one signed by {wanted} (`hiertk sign`)"
    if signature is None:
        raise BundleError(f"{where} is missing, the bundle is not signed: {advice}")
    found = parse_signature(signature, where)
    if found.public_key != _raw(public_key).hex():
        raise BundleError(f"{where}: signed by {found.fingerprint}, which is not trusted: {advice}")
    if not found.verifies(manifest):
        raise BundleError(f"{where}: the manifest was changed after it was signed: {advice}")


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return a key's short name: 32 hex digits of its sha256."""
    return _fingerprint(_raw(key))


def make_key_pair(path: Path) -> Ed25519PublicKey:
    """Write a new private key, for its owner alone, and beside it PATH.pub, for everybody.

    Raises ConfigError if either exists, StorageError.
    """
    public = public_key_path(path)
    for file in (path, public):
        if file.exists():
            raise ConfigError(f"{file} exists: a lost key cannot be made again: choose another")
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found = key.public_key()
    with atomic_file(public) as temporary:
        temporary.write_bytes(found.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return found


def public_key_path(private: Path) -> Path:
    """Return where the public half of a private key lies."""
    return private.with_name(f"{private.name}.pub")


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key. Raises ConfigError, also if others may read it."""
    data = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"key {path}: others can read it: chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except _UNFIT as error:
        raise ConfigError(
            f"key {path}: not an unencrypted PEM key: make one: hiertk key"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"key {path}: not Ed25519: make one: hiertk key")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key. Raises ConfigError."""
    try:
        key = load_pem_public_key(_read(path))
    except _UNFIT as error:
        raise ConfigError(f"public key {path}: not a PEM public key: take KEY.pub") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"public key {path}: not Ed25519: take the KEY.pub of `hiertk key`")
    return key


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _fingerprint(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:32]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise ConfigError(f"key {path}: {error.strerror}: give the file of `hiertk key`") from error
