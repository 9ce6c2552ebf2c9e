"""Rebuilding the cloud partition from a bundle: names and weights, never code."""

import json
from pathlib import Path

from hiertk_protocol.bundle import CLOUD_MODULE, CLOUD_WEIGHTS, Bundle
from hiertk_protocol.errors import BundleError, ModelError
from hiertk_protocol.manifest import Normalization, Stem
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hiertk.models.networks import NetworkSpec
from hiertk.models.sides import CutSpec, both_sides, open_network

_MAX_JSON_BYTES = 1 << 16


class CloudModule(BaseModel):
    """cloud.json: how to rebuild the cloud partition's modules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str = Field(max_length=200)
    slots: int = Field(ge=1, le=4096)
    input_size: int = Field(ge=8, le=1024)
    stem: Stem
    normalization: Normalization
    split: int = Field(ge=1, le=1000)
    bottleneck: int | None = Field(ge=1, le=1 << 16)


def describe_cloud(spec: CutSpec) -> CloudModule:
    """Return what cloud.json says of a cut."""
    return CloudModule(
        network=spec.network.name,
        slots=spec.network.slots,
        input_size=spec.network.input_size,
        stem=spec.network.stem,
        normalization=spec.network.normalization,
        split=spec.split,
        bottleneck=spec.bottleneck,
    )


def cloud_module(module: CloudModule, *, trusted_factory: str | None = None) -> nn.Module:
    """Build a cloud partition with fresh weights. Raises ModelError."""
    network = NetworkSpec(
        name=module.network,
        slots=module.slots,
        input_size=module.input_size,
        stem=module.stem,
        normalization=module.normalization,
    )
    cuttable = open_network(network, trusted_factory=trusted_factory)
    return both_sides(cuttable, CutSpec(network, module.split, module.bottleneck)).cloud


def load_cloud_partition(bundle: Bundle, *, trusted_factory: str | None = None) -> nn.Module:
    """Return a bundle's cloud partition with the exported weights.

    features (N, C, H, W) float32 -> logits (N, class slots), without the class bias.
    trusted_factory: the one `package.module:factory` that a bundle may name, since it is run.
    Raises BundleError if its files do not fit together, or name another factory.
    """
    path = bundle.path(CLOUD_MODULE)
    try:
        partition = cloud_module(_read(path), trusted_factory=trusted_factory)
    except ModelError as error:
        raise BundleError(f"{path}: {error}") from error
    weights = bundle.path(CLOUD_WEIGHTS)
    try:
        partition.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        text = f"{weights} does not fit {path.name}: {reason}: export the bundle again"
        raise BundleError(text) from error
    return partition


def _read(path: Path) -> CloudModule:
    try:
        data = path.read_bytes()
        if len(data) > _MAX_JSON_BYTES:
            raise BundleError(f"{path}: {len(data)} bytes, more than {_MAX_JSON_BYTES}")
        return CloudModule.model_validate(json.loads(data))
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise BundleError(f"{path}: {first}: export the bundle again") from error
