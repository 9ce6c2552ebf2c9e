"""A device's newest checkpoint as the first one of a grown bundle."""

from contextlib import suppress
from pathlib import Path

from hiertk_protocol.bundle import Bundle, describe_file
from hiertk_protocol.errors import BundleError
from hiertk_protocol.files import atomic_folder
from pydantic import ValidationError

from hiertk_edge.training.checkpoints import (
    RECORD,
    Checkpoint,
    Checkpoints,
    generations,
    read_record,
)


def carry_over(folder: Path, bundle: Bundle) -> int | None:
    """Write a generation with the bundle's class slots after one of its ancestor's.

    The old generations stay until newer ones take their place. Returns its edge step; None if the
    newest whole generation is the bundle's own, another bundle's, or there is none. Raises
    BundleError if it does not fit the bundle, StorageError.
    """
    found = _newest_of_ancestor(folder, bundle)
    if found is None:
        return None
    number = 1 + max(int(path.name) for path in generations(folder))
    with atomic_folder(folder / f"{number:09}") as temporary:
        target = temporary / found.learner_file.name
        _grow_file(found.learner_file, bundle, target)
        written = describe_file(target)
        record = found.record.model_copy(
            update={
                "bundle_id": bundle.manifest.bundle_id.hex(),
                "size": written.size,
                "sha256": written.sha256,
            }
        )
        (temporary / RECORD).write_text(record.model_dump_json())
    return found.record.edge_step


def _newest_of_ancestor(folder: Path, bundle: Bundle) -> Checkpoint | None:
    manifest = bundle.manifest
    if not manifest.grown_from or _is_newest_of(folder, manifest.bundle_id):
        return None
    for ancestor in _owners(folder) & manifest.ancestors:
        with suppress(BundleError):  # the newest whole one is another's
            return Checkpoints(folder, ancestor).newest()
    return None


def _is_newest_of(folder: Path, bundle_id: bytes) -> bool:
    try:
        return Checkpoints(folder, bundle_id).newest() is not None
    except BundleError:
        return False


def _owners(folder: Path) -> frozenset[bytes]:
    """Return whose the generations say they are; damaged ones say nothing."""
    owners = set()
    for path in generations(folder):
        with suppress(OSError, ValidationError):
            owners.add(bytes.fromhex(read_record(path).bundle_id))
    return frozenset(owners)


def _grow_file(old: Path, bundle: Bundle, new: Path) -> None:
    if bundle.manifest.engine.backend == "onnxruntime":
        from hiertk_edge.growing.ort_file import grow_ort_file

        grow_ort_file(old, bundle, new)
        return
    from hiertk_edge.growing.program_file import grow_program_file

    grow_program_file(old, bundle, new)
