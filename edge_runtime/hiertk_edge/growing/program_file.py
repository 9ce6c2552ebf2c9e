"""The checkpoint of a step program (backends executorch and torch) with more class slots."""

from pathlib import Path

import numpy as np
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, StorageError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from hiertk_edge.growing.rows import Array, with_more_rows

_EXPORTED = "edge/params.safetensors"
_BUNDLE = "hiertk_bundle_id"
_PARAMETERS, _STATISTICS = "parameters", "statistics"


def grow_program_file(old: Path, bundle: Bundle, new: Path) -> None:
    """Write the checkpoint at `old` for a bundle that was grown from its own.

    New rows of parameters are the bundle's, those of moments are zeros, as before a first step. All
    else stays, the metadata but for the bundle, too. Raises BundleError if it does not fit the
    bundle, StorageError if the disk refuses.
    """
    try:
        fresh = load_file(bundle.path(_EXPORTED))
        with safe_open(old, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            names = file.keys()
            tensors = {name: _grown(name, file.get_tensor(name), fresh) for name in names}
    except (SafetensorError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise BundleError(f"{old} is no checkpoint of this engine: {first}") from error
    metadata[_BUNDLE] = bundle.manifest.bundle_id.hex()
    try:
        save_file(tensors, new, metadata)
    except SafetensorError as error:
        raise StorageError(f"cannot write {new}: {error}") from error


def _grown(key: str, value: Array, fresh: dict[str, Array]) -> Array:
    kind, _, name = key.partition("/")
    if name not in fresh:
        raise ValueError(f"{key[:80]!r} is not known")
    like = fresh[name]
    if kind not in (_PARAMETERS, _STATISTICS):
        like = np.zeros_like(like)
    return np.ascontiguousarray(with_more_rows(key, value, like))
