"""Reading a bundle, folder or zip: nothing is used before its size and checksum are checked."""

import hashlib
import shutil
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import BundleError
from hiertk_protocol.files import atomic_folder
from hiertk_protocol.manifest import (
    MAX_MANIFEST_BYTES,
    FileInfo,
    Manifest,
    parse_manifest,
)

MANIFEST = "manifest.json"
GOLDEN = "golden/steps.safetensors"
CLOUD_WEIGHTS = "cloud/cloud.safetensors"
CLOUD_MODULE = "cloud/cloud.json"
_CHUNK = 1 << 20


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


def open_bundle(path: Path) -> Bundle:
    """Open a bundle folder, or a zip of one, which is unpacked beside itself once.

    Raises BundleError if anything is missing, changed or not as the manifest says.
    """
    if path.is_file():
        return _open_zip(path)
    if not path.is_dir():
        raise BundleError(f"{path} is neither a bundle folder nor a zip of one")
    manifest = _read_manifest(path / MANIFEST)
    for name, info in manifest.files.items():
        _check_file(path, name, info)
    return Bundle(path, manifest)


def describe_file(path: Path) -> FileInfo:
    """Return size and sha256 of a file, as the manifest lists them."""
    return FileInfo(sha256=_sha256(path), size=path.stat().st_size)


def zip_bundle(folder: Path, target: Path) -> None:
    """Write a bundle folder as one zip."""
    manifest = _read_manifest(folder / MANIFEST)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST, *manifest.files):
            archive.write(folder / name, name)


def _read_manifest(path: Path) -> Manifest:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}: is this a bundle folder?") from error
    return parse_manifest(data, str(path))


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


def _open_zip(path: Path) -> Bundle:
    try:
        with zipfile.ZipFile(path) as archive:
            data = _read_bounded(archive, MANIFEST, MAX_MANIFEST_BYTES)
            manifest = parse_manifest(data, f"{path}:{MANIFEST}")
            folder = path.with_name(f"{path.stem}-{manifest.deployment}")
            if not folder.exists():
                with atomic_folder(folder) as temporary:
                    _unpack(archive, manifest, data, temporary)
    except _BAD_ZIP as error:
        raise BundleError(f"{path} is not a bundle zip: {error}: {_DAMAGED}") from error
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}: {_DAMAGED}") from error
    return open_bundle(folder)


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
