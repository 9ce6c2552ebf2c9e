"""Feature messages of a bundle, valid in every field, with random content."""

import numpy as np
from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import MAX_SAMPLES

_ENVELOPE_BYTES = 120  # what a device's own fields add to the features


def make_features(manifest: Manifest, size: int, seed: int) -> FeatureBatch:
    """Return a feature batch of about `size` bytes without a device, an epoch and a number.

    Half of its values are zero, as a ReLU leaves them. Raises ConfigError if even one sample is
    larger.
    """
    samples = 1
    one = _features(manifest, 1, seed)
    for _ in range(2):  # bytes are nearly proportional to samples
        grown = one.ByteSize() + _ENVELOPE_BYTES
        samples = min(MAX_SAMPLES, max(1, samples * size // grown))
        one = _features(manifest, samples, seed)
    if one.ByteSize() > max(1.25 * size, size + 4096):
        raise ConfigError(
            f"--size: one sample of this bundle takes {one.ByteSize() / 1024:.1f} KiB: take more"
        )
    return one


def _features(manifest: Manifest, samples: int, seed: int) -> FeatureBatch:
    generator = np.random.default_rng([seed, samples])
    features = generator.standard_normal((samples, *manifest.features.shape), np.float32)
    np.maximum(features, 0, out=features)
    labels = generator.integers(0, len(manifest.classes.names), samples).tolist()
    return FeatureBatch(
        bundle_id=manifest.bundle_id,
        class_map_version=1,
        shape=features.shape,
        features=encode(quantize(features, manifest.features.bits)),
        labels=labels,
        early_exit=labels[::-1],
        early_exit_loss=1.0,
    )
