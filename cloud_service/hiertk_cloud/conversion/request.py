"""What is to be converted: the request from the service to the process that does it."""

import json
from pathlib import Path
from typing import Literal

from hiertk_protocol.manifest import Manifest
from pydantic import BaseModel, ConfigDict

FileFormat = Literal["safetensors", "onnx"]


class ConversionRequest(BaseModel):
    """One conversion. cloud: the cloud partition's averaged weights, with `metadata_of`.

    edge: a device's weights, to be merged; None for the cloud partition alone. trusted_factory: the
    one `package.module:factory` that the manifest may name, since it is run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Manifest
    cloud: Path
    edge: Path | None
    file_format: FileFormat
    trusted_factory: str | None
    out: Path


def metadata_of(manifest: Manifest, cloud_step: int) -> dict[str, str]:
    """Return what every file says of the model in it; lists are JSON."""
    model, images = manifest.model, manifest.input
    return {
        "format": "hiertk cloud partition 1",
        "bundle_id": manifest.bundle_id.hex(),
        "cloud_step": str(cloud_step),
        "model": model.name,
        "split": str(model.split),
        "stem": model.stem,
        "normalization": model.normalization,
        "bottleneck": "" if model.bottleneck is None else str(model.bottleneck),
        "class_names": json.dumps(manifest.classes.names, ensure_ascii=False),
        "class_slots": str(manifest.classes.capacity),
        "feature_shape": json.dumps(manifest.features.shape),
        "input_size": str(images.size),
        "input_mean": json.dumps(images.mean),
        "input_std": json.dumps(images.std),
    }
