"""Rebuilding the cloud partition from a bundle: names and weights, never code."""

import json
from pathlib import Path

from hiertk_protocol.bundle import CLOUD_MODULE, CLOUD_WEIGHTS, Bundle
from hiertk_protocol.errors import BundleError, ModelError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hiertk.models.cut import cut
from hiertk.models.networks import NetworkSpec, Stem, build, separation_point

_MAX_JSON_BYTES = 1 << 16


class CloudModule(BaseModel):
    """cloud.json: how to rebuild the cloud partition's modules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str = Field(max_length=200)
    slots: int = Field(ge=1, le=4096)
    input_size: int = Field(ge=8, le=1024)
    stem: Stem
    split: int = Field(ge=1, le=1000)


def cloud_module(module: CloudModule) -> nn.Module:
    """Build a cloud partition with fresh weights. Raises ModelError."""
    model = build(
        NetworkSpec(
            name=module.network,
            slots=module.slots,
            input_size=module.input_size,
            stem=module.stem,
        )
    )
    return cut(model, separation_point(module.network, model, module.split)).cloud


def load_cloud_partition(bundle: Bundle) -> nn.Module:
    """Return a bundle's cloud partition with the exported weights.

    features (N, C, H, W) float32 -> logits (N, class slots), without the class bias.
    Raises BundleError if its files do not fit together.
    """
    path = bundle.path(CLOUD_MODULE)
    partition = _build(path)
    weights = bundle.path(CLOUD_WEIGHTS)
    try:
        partition.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise BundleError(f"{weights} does not fit {path.name}: {first}") from error
    return partition


def _build(path: Path) -> nn.Module:
    try:
        data = path.read_bytes()
        if len(data) > _MAX_JSON_BYTES:
            raise BundleError(f"{path}: {len(data)} bytes, more than {_MAX_JSON_BYTES}")
        return cloud_module(CloudModule.model_validate(json.loads(data)))
    except (OSError, ValueError, ValidationError, ModelError) as error:
        first = str(error).splitlines()[0]
        raise BundleError(f"{path}: {first}: export the bundle again") from error
