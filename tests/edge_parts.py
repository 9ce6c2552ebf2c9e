"""What the tests of the device share: a bundle without an engine, image folders, batches."""

from pathlib import Path
from typing import Literal

import numpy as np
from hiertk_protocol.bundle import MANIFEST
from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import (
    AdamW,
    ClassInfo,
    EngineInfo,
    FeatureInfo,
    InputInfo,
    Manifest,
    ModelInfo,
)
from PIL import Image

CLASSES = ("red", "green", "blue")
DEVICE = "pi-1"


def make_manifest(
    *, bits: Literal[8, 4] = 8, shape: tuple[int, int, int] = (4, 4, 4), split: int = 1
) -> Manifest:
    return Manifest(
        target="linux",
        model=ModelInfo(
            name="numpy",
            split=split,
            split_count=2,
            split_module="projection",
            stem="3x3",
            edge_parameters=16,
            cloud_parameters=0,
        ),
        input=InputInfo(size=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
        features=FeatureInfo(shape=shape, bits=bits),
        classes=ClassInfo(names=CLASSES, capacity=4),
        optimizer=AdamW(),
        engine=EngineInfo(backend="torch", version="0", batch_size=4),
        parity=(),
        files={},
    )


def write_bundle(folder: Path, manifest: Manifest | None = None) -> Path:
    folder.mkdir()
    (folder / MANIFEST).write_bytes((manifest or make_manifest()).to_json())
    return folder


def write_images(folder: Path, per_class: int, *, size: int = 16, seed: int = 0) -> Path:
    """Write noisy images of one colour per class, PNG and JPEG in turn."""
    generator = np.random.default_rng(seed)
    for slot, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            pixels = generator.integers(0, 80, (size, size, 3), np.uint8)
            pixels[..., slot] += 150
            suffix = "png" if number % 2 else "jpg"
            Image.fromarray(pixels).save(folder / name / f"{number:03}.{suffix}")
    return folder


def make_batch(samples: int = 2, *, size: int = 4, seed: int = 0) -> FeatureBatch:
    """Return a valid message of `samples` random features (4, size, size)."""
    features = np.random.default_rng(seed).normal(size=(samples, 4, size, size)).astype(np.float32)
    return FeatureBatch(
        bundle_id=make_manifest(shape=(4, size, size)).bundle_id,
        device=DEVICE,
        shape=features.shape,
        features=encode(quantize(features, 8)),
        labels=[0] * samples,
        early_exit=[1] * samples,
        early_exit_loss=1.0,
    )
