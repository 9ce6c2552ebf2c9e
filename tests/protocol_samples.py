"""Valid manifests, bundles and messages that the tests then damage."""

import hashlib
from pathlib import Path

import numpy as np
from hiertk_protocol.bundle import MANIFEST
from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import (
    AdamW,
    ClassInfo,
    EngineInfo,
    FeatureInfo,
    FileInfo,
    InputInfo,
    Manifest,
    ModelInfo,
    ParityCheck,
)

FILES = {
    "edge/checkpoint": b"edge weights " * 100,
    "cloud/cloud.safetensors": b"cloud weights " * 100,
    "golden/steps.safetensors": b"",
}


def make_manifest(files: dict[str, bytes] = FILES) -> Manifest:
    return Manifest(
        target="rpi",
        model=ModelInfo(
            name="resnet18",
            split=3,
            split_count=8,
            split_module="layer2.0",
            stem="3x3",
            edge_parameters=1000,
            cloud_parameters=10_000,
        ),
        input=InputInfo(size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        features=FeatureInfo(shape=(3, 2, 2), bits=4),
        classes=ClassInfo(names=("shirt", "trousers"), capacity=10),
        optimizer=AdamW(),
        engine=EngineInfo(backend="onnxruntime", version="1.19.2", batch_size=32),
        parity=(ParityCheck(what="loss", worst=1e-7, tolerance=1e-5),),
        files={
            name: FileInfo(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
            for name, data in files.items()
        },
    )


def write_bundle(folder: Path, files: dict[str, bytes] = FILES) -> Manifest:
    manifest = make_manifest(files)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_bytes(manifest.to_json())
    return manifest


def make_batch(manifest: Manifest, samples: int = 5) -> FeatureBatch:
    shape = (samples, *manifest.features.shape)
    features = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return FeatureBatch(
        bundle_id=manifest.bundle_id,
        device="rpi-1",
        epoch=(1 << 64) - 1,
        seq=7,
        floor=3,
        edge_step=40,
        class_map_version=1,
        shape=shape,
        features=encode(quantize(features, manifest.features.bits)),
        labels=[index % 10 for index in range(samples)],
        early_exit=[0] * samples,
        early_exit_loss=2.5,
    )
