"""Reading a bundle, folder or zip: nothing is used before its size and checksum are checked."""

import hashlib
import shutil
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hiertk_protocol.errors import BundleError
from hiertk_protocol.files import atomic_file, atomic_folder
from hiertk_protocol.manifest import (
    MAX_MANIFEST_BYTES,
    FileInfo,
    Manifest,
    parse_manifest,
)

if TYPE_CHECKING:  # a device without a public key need not load `cryptography`
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
GOLDEN = "golden/steps.safetensors"
REHEARSAL = "rehearsal/samples.safetensors"  # only in bundles that take images along
CLOUD_WEIGHTS = "cloud/cloud.safetensors"
CLOUD_MODULE = "cloud/cloud.json"
# In the metadata of a device's trained edge partition, which the cloud merges with its own.
EDGE_WEIGHTS_FORMAT = "hiertk edge weights 1"
_CHUNK = 1 << 20
_SIGNATURE_BYTES = 4096


@dataclass(frozen=True)
class Bundle:
    """A checked bundle on disk."""

    folder: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Return the path of a file that the manifest lists. Raises BundleError if it does not."""
        if name not in self.manifest.files:
            raise BundleError(f"{self.folder}: no {name} in the manifest: export the bundle again")
        return self.folder / name


def open_bundle(path: Path, public_key: "Ed25519PublicKey | None" = None) -> Bundle:
    """Open a bundle folder, or a zip of one, which is unpacked beside itself once.

    public_key: who must have signed it; None asks for no signature. Raises BundleError if anything
    is missing, changed, not as the manifest says, or not signed as it must be.
    """
    if path.is_file():
        return _open_zip(path, public_key)
    if not path.is_dir():
        raise BundleError(f"{path} is neither a bundle folder nor a zip of one")
    data = read_manifest_bytes(path)
    _check_signature(path / SIGNATURE, data, read_signature_bytes(path), public_key)
    manifest = parse_manifest(data, str(path / MANIFEST))
    for name, info in manifest.files.items():
        _check_file(path, name, info)
    return Bundle(path, manifest)


def describe_file(path: Path) -> FileInfo:
    """Return size and sha256 of a file, as the manifest lists them."""
    return FileInfo(sha256=_sha256(path), size=path.stat().st_size)


def zip_bundle(folder: Path, target: Path) -> None:
    """Write a bundle folder as one zip."""
    manifest = parse_manifest(read_manifest_bytes(folder), str(folder / MANIFEST))
    signed = (SIGNATURE,) if (folder / SIGNATURE).exists() else ()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST, *signed, *manifest.files):
            archive.write(folder / name, name)


def sign_bundle(path: Path, key: "Ed25519PrivateKey") -> Manifest:
    """Check a bundle, folder or zip, and sign its manifest; an earlier signature is replaced.

    A zip is written again, which takes room for its content. Raises BundleError or StorageError.
    """
    if not path.is_file():
        return _sign_folder(open_bundle(path), key)
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        link = Path(work) / "bundle.zip"
        link.symlink_to(path.absolute())
        bundle = open_bundle(link)
        manifest = _sign_folder(bundle, key)
        with atomic_file(path) as temporary:
            zip_bundle(bundle.folder, temporary)
        return manifest


def _sign_folder(bundle: Bundle, key: "Ed25519PrivateKey") -> Manifest:
    from hiertk_protocol.signature import sign_manifest

    with atomic_file(bundle.folder / SIGNATURE) as temporary:
        temporary.write_bytes(sign_manifest(read_manifest_bytes(bundle.folder), key))
    return bundle.manifest


def read_manifest_bytes(folder: Path) -> bytes:
    """Return the bytes of manifest.json, neither parsed nor checked. Raises BundleError."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            return file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}: is this a bundle folder?") from error


def read_signature_bytes(folder: Path) -> bytes | None:
    """Return what is in a folder's manifest.sig; None if there is none. Raises BundleError."""
    path = folder / SIGNATURE
    try:
        with path.open("rb") as file:
            return file.read(_SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}: sign the bundle again") from error


def _check_signature(
    path: Path, manifest: bytes, signature: bytes | None, public_key: "Ed25519PublicKey | None"
) -> None:
    if public_key is None:
        return
    from hiertk_protocol.signature import check_signature

    check_signature(manifest, signature, public_key, str(path))


def _check_file(folder: Path, name: str, info: FileInfo) -> None:
    path = folder / name
    try:
        size = path.stat().st_size
        if size != info.size:
            raise BundleError(f"{path}: {size} bytes, the manifest says {info.size}: {_DAMAGED}")
        if not path.is_file() or path.is_symlink():
            raise BundleError(f"{path}: not a plain file: {_DAMAGED}")
        if _sha256(path) != info.sha256:
            raise BundleError(f"{path}: its checksum is not the manifest's: {_DAMAGED}")
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}: {_DAMAGED}") from error


_DAMAGED = "copy or export the bundle again"
# All that zipfile was seen or is documented to raise for a file that it does not like.
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _open_zip(path: Path, public_key: "Ed25519PublicKey | None") -> Bundle:
    try:
        with zipfile.ZipFile(path) as archive:
            data = _read_bounded(archive, MANIFEST, MAX_MANIFEST_BYTES)
            signature = None
            if SIGNATURE in archive.NameToInfo:
                signature = _read_bounded(archive, SIGNATURE, _SIGNATURE_BYTES)
            _check_signature(path / SIGNATURE, data, signature, public_key)
            manifest = parse_manifest(data, f"{path}:{MANIFEST}")
            # Not by the deployment, which a grown bundle shares with the one before it.
            folder = path.with_name(f"{path.stem}-{manifest.bundle_id.hex()[:16]}")
            if not folder.exists():
                with atomic_folder(folder) as temporary:
                    _unpack(archive, manifest, data, temporary)
            if signature is not None:
                _add_signature(folder, data, signature, is_checked=public_key is not None)
    except _BAD_ZIP as error:
        raise BundleError(f"{path} is not a bundle zip: {error}: {_DAMAGED}") from error
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}: {_DAMAGED}") from error
    return open_bundle(folder, public_key)


def _add_signature(folder: Path, manifest: bytes, signature: bytes, *, is_checked: bool) -> None:
    """Keep the zip's signature in the folder, which may have been unpacked before it was signed."""
    kept = read_signature_bytes(folder)
    may_replace = kept is None or (is_checked and kept != signature)
    if not may_replace or read_manifest_bytes(folder) != manifest:
        return
    with atomic_file(folder / SIGNATURE) as temporary:
        temporary.write_bytes(signature)


def _unpack(archive: zipfile.ZipFile, manifest: Manifest, data: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(data)
    for name, info in manifest.files.items():
        entry = _plain_entry(archive, name)
        if entry.file_size != info.size:
            raise BundleError(f"{name}: {entry.file_size} bytes in the zip, not {info.size}")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        _check_file(folder, name, info)


def _read_bounded(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    with archive.open(_plain_entry(archive, name)) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BundleError(f"{name} in the zip is larger than {limit} bytes")
    return data


def _plain_entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    entry = archive.getinfo(name)
    # zipfile bounds what a read takes for these two only: a bzip2 bomb would fill the memory.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"{name}: stored with another method than deflate: {_DAMAGED}")
    return entry
