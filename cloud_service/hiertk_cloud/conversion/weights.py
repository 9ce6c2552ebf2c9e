"""Weights from files into rebuilt modules: nothing fits but the names, shapes and kind expected."""

from pathlib import Path
from typing import Any

import torch
from hiertk.models import EdgeModel
from hiertk_protocol.errors import ModelError
from torch import nn

from hiertk_cloud.conversion.edge_file import check_edge_file, opened

_COUNTER = "num_batches_tracked"  # inference needs none, and devices keep none


def load_cloud_weights(path: Path, cloud: nn.Module) -> dict[str, str]:
    """Load the service's own file into a cloud partition; return its metadata.

    Raises ModelError.
    """
    with opened(path, "pt") as file:
        _load(cloud, file, "the cloud partition's weights")
        return file.metadata() or {}


def load_edge_weights(path: Path, edge: EdgeModel, bundle_id: bytes) -> int:
    """Load what `hiertk-edge weights` wrote into an edge partition; return its edge step.

    Raises ModelError if it is no such file, of another bundle, or not finite.
    """
    edge_step = check_edge_file(path, bundle_id)
    with opened(path, "pt") as file:
        _load(edge, file, "edge weights")
    return edge_step


def _load(module: nn.Module, file: Any, what: str) -> None:
    own = {name: value for name, value in module.state_dict().items() if not _is_counter(name)}
    names = {name for name in file.keys() if not _is_counter(name)}  # noqa: SIM118  (no mapping)
    odd = sorted(own.keys() ^ names)
    if odd:
        kind = "missing" if odd[0] in own else "unknown"
        raise ModelError(f"{what}: {len(odd)} tensors do not fit, {odd[0][:80]!r} is {kind}")
    given = {}
    for name, value in own.items():
        got = given[name] = file.get_tensor(name)
        if got.shape != value.shape or got.dtype != value.dtype:
            raise ModelError(
                f"{what}: {name} is {got.dtype} {tuple(got.shape)}, "
                f"not {value.dtype} {tuple(value.shape)}"
            )
        if got.is_floating_point() and not torch.isfinite(got).all():
            raise ModelError(f"{what}: {name} is not finite")
    module.load_state_dict(given, strict=False)


def _is_counter(name: str) -> bool:
    return name.rpartition(".")[2] == _COUNTER
