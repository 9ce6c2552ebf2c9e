"""What is profiled: one bundle, or a folder of bundles `split-1`, `split-2`... of one network."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from hiertk_protocol.bundle import MANIFEST, Bundle, open_bundle
from hiertk_protocol.errors import BundleError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.profile import NetworkInfo

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_CUT = re.compile(r"split-[1-9][0-9]{0,5}")


def open_cuts(path: Path, public_key: "Ed25519PublicKey | None" = None) -> tuple[Bundle, ...]:
    """Open every cut, by rising separation point.

    Raises BundleError if there is none, or they are not of one network, input, engine and classes.
    """
    if path.is_file() or (path / MANIFEST).exists():
        return (open_bundle(path, public_key),)
    bundles = sorted(
        (open_bundle(folder, public_key) for folder in _folders(path)),
        key=lambda bundle: bundle.manifest.model.split,
    )
    for bundle in bundles[1:]:
        _check_alike(bundles[0], bundle)
    splits = [bundle.manifest.model.split for bundle in bundles]
    if len(set(splits)) < len(splits):
        raise BundleError(f"{path}: a separation point is there twice: export the cuts again")
    return tuple(bundles)


def network_of(manifest: Manifest) -> NetworkInfo:
    """Return what all cuts of a network share, as a profile names it."""
    return NetworkInfo(
        name=manifest.model.name,
        stem=manifest.model.stem,
        normalization=manifest.model.normalization,
        bottleneck=manifest.model.bottleneck,
        input_size=manifest.input.size,
        slots=manifest.classes.capacity,
        split_count=manifest.model.split_count,
    )


def _folders(path: Path) -> list[Path]:
    try:
        folders = [one for one in path.iterdir() if _CUT.fullmatch(one.name)]
    except OSError as error:
        raise BundleError(
            f"{path}: {error.strerror}: name a bundle, or a folder of cuts"
        ) from error
    if not folders:
        raise BundleError(
            f"{path} is neither a bundle nor a folder of cuts split-1, split-2...: "
            "export one with hiertk export --split all"
        )
    return folders


def _check_alike(one: Bundle, other: Bundle) -> None:
    for what, value in _shared(other.manifest).items():
        if _shared(one.manifest)[what] != value:
            raise BundleError(
                f"{other.folder} has another {what} than {one.folder}: "
                "export all cuts with the same settings"
            )


def _shared(manifest: Manifest) -> dict[str, object]:
    return {
        "network": network_of(manifest),
        "input": manifest.input,
        "engine": manifest.engine,
        "class map": manifest.classes,
    }
