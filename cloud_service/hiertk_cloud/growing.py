"""A service that goes on with a grown bundle: its state folder brought to more class slots."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from hiertk_protocol.errors import StorageError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.lineage import hand_over
from hiertk_protocol.manifest import Manifest
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hiertk_cloud.state import StateFolder
from hiertk_cloud.training.recent_labels import RecentLabels
from hiertk_cloud.training.replay import reservoir_for

_REMOVE = "remove it to train again from the log's beginning"


def grow_state(
    folder: StateFolder, manifest: Manifest, module: nn.Module, tell: Callable[[str], None]
) -> None:
    """Bring what a bundle left that this one was grown from to this one.

    module: the bundle's cloud partition, with the exported weights. Each part is looked at on its
    own, so that doing it again goes on where a crash ended it; a part of this bundle, or of one
    that it was not grown from, stays as it is. Raises StorageError if the checkpoint does not fit,
    or the disk refuses.
    """
    for database in (folder.log, folder.classes):
        if hand_over(database, manifest):
            tell(f"{database.name} goes on with bundle {manifest.bundle_id.hex()[:16]}")
    if grow_checkpoint(folder.checkpoint, manifest, module):
        tell(f"the checkpoint has {manifest.classes.capacity} class slots now")


def grow_checkpoint(path: Path, manifest: Manifest, module: nn.Module) -> bool:
    """Write the checkpoint at `path` again for a bundle that was grown from its own.

    New rows of weights are the bundle's, all else of new slots is zero, as before a first step.
    Returns whether there was such a checkpoint. Raises StorageError.
    """
    if not (manifest.grown_from and path.is_file()):
        return False
    with _reading(path), safe_open(path, "pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
        if metadata.get("bundle_id") not in {one.bundle_id for one in manifest.grown_from}:
            return False
        fresh = _Fresh(manifest, module)
        names = file.keys()
        tensors = {name: _grown(path, name, file.get_tensor(name), fresh) for name in names}
    metadata["bundle_id"] = manifest.bundle_id.hex()
    with atomic_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise StorageError(f"cannot write {path}: {error}") from error
    return True


class _Fresh:
    """The tensors of a checkpoint before a first step, by their names in it."""

    def __init__(self, manifest: Manifest, module: nn.Module) -> None:
        self._weights: Mapping[str, Tensor] = module.state_dict()
        self._more = {
            **RecentLabels(manifest.classes.capacity).tensors(),
            **reservoir_for(manifest).tensors(),
        }

    def find(self, key: str) -> Tensor | None:
        """Return the tensor of a name; None for one that has no rows for class slots."""
        kind, _, name = key.partition("/")
        if kind == "module":
            return self._weights.get(name)
        if kind == "average":
            return self._weights.get(name.removeprefix("module."))
        if kind == "optimizer":
            parameter, _, moment = name.rpartition("/")
            found = self._weights.get(parameter)
            return None if found is None or moment == "step" else torch.zeros_like(found)
        return self._more.get(key)


def _grown(path: Path, key: str, held: Tensor, fresh: _Fresh) -> Tensor:
    """Return a tensor with the fresh one's rows behind its own."""
    like = fresh.find(key)
    if like is None or like.shape == held.shape:
        return held
    if held.dim() == 0 or held.shape[1:] != like.shape[1:] or len(held) > len(like):
        raise StorageError(
            f"{path}: {key[:80]} is {tuple(held.shape)}, the bundle's {tuple(like.shape)}: "
            f"{_REMOVE}"
        )
    return torch.cat([held, like[len(held) :].to(held.dtype)])


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path} is damaged: {error}: {_REMOVE}") from error
