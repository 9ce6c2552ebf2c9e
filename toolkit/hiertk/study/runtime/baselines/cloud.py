"""The cloud of a baseline: trains the whole network on images, or the cloud partition on features.

python -m hiertk.study.runtime.baselines.cloud ROLE, as JSON.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from hiertk_cloud.training.precision import arithmetic
from hiertk_edge.images import Pixels, normalize, read_image_bytes
from hiertk_protocol import console
from hiertk_protocol.errors import ConfigError, ProtocolError
from torch import Tensor

from hiertk.study.runtime.baselines.networks import cloud_partition, whole_network
from hiertk.study.runtime.baselines.pieces import Batch, Kind
from hiertk.study.runtime.baselines.role import Role
from hiertk.study.runtime.baselines.split import (
    SplitCloud,
    adamw,
    gradients_batch,
    labels_of,
    tensor_of,
)
from hiertk.study.runtime.baselines.wire import Wire
from hiertk.study.runtime.telling import Snapshots, tell, tell_each_step, tell_end, weights_of
from hiertk.training import FullCloudTraining

Sample = tuple[Pixels, Tensor]


def main(role: Role) -> None:
    """Play the role until all epochs are trained."""
    with Wire(role.broker, "cloud") as wire:
        if role.is_split:
            _answer(role, wire)
        else:
            _train(role, wire)
    tell_end()


def _train(role: Role, wire: Wire) -> None:
    """Train on images as they come; those that come once are kept, and trained on again."""
    model = whole_network(role)
    training = FullCloudTraining(model, adamw(model, role.rate), torch.zeros(len(role.classes)))
    snapshots = Snapshots(role.snapshots, "cloud", role.every)
    tell("ready")
    kept: list[Sample] = []
    for epoch in range(role.epochs):
        comes = not role.sends_once or epoch == 0
        samples = _coming(role, wire) if comes else _again(kept, epoch)
        for number, (pixels, labels) in enumerate(samples, start=epoch * role.batches + 1):
            with arithmetic(role.precision):
                training.step(torch.from_numpy(normalize(pixels, role.input)), labels)
            if role.sends_once and comes:
                kept.append((pixels, labels))
            if snapshots.is_due(number):
                snapshots.take(number, weights_of(model))


def _answer(role: Role, wire: Wire) -> None:
    """Train the cloud partition, and send each batch's gradients back."""
    cloud = SplitCloud(cloud_partition(role), role.rate)
    snapshots = Snapshots(role.snapshots, "cloud", role.every)
    tell("ready")
    for number in range(1, role.batches * role.epochs + 1):
        batch = wire.receive()
        wire.acknowledge(batch)
        features, labels = tensor_of(batch, Kind.FEATURES), labels_of(batch, len(role.classes))
        with arithmetic(role.precision):
            gradients = cloud.gradients(features, labels)
        # Before the own update: the device waits.
        wire.reply(gradients_batch(gradients, number, is_half=role.payload == "fp16"))
        cloud.update()
        if snapshots.is_due(number):
            snapshots.take(number, weights_of(cloud.module))


def _coming(role: Role, wire: Wire) -> Iterator[Sample]:
    """Yield an epoch's batches; a thread receives and decodes the next one beside training."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_next, role, wire)
        for left in reversed(range(role.batches)):
            sample = coming.result()
            if left:
                coming = reader.submit(_next, role, wire)
            yield sample


def _next(role: Role, wire: Wire) -> Sample:
    batch = wire.receive()
    labels = labels_of(batch, len(role.classes))
    pixels = pixels_of(batch, role.input.size)
    wire.acknowledge(batch)
    return pixels, labels


def pixels_of(batch: Batch, size: int) -> Pixels:
    """Return the pixels (N, size, size, 3) of a batch of images.

    Raises ProtocolError if it holds anything else.
    """
    if batch.kind is Kind.PIXELS and batch.values is not None:
        pixels = batch.values.astype(np.uint8, copy=False)
    else:
        pixels = np.stack([_decoded(file) for file in batch.files or (b"",)])
    if pixels.shape != (len(batch), size, size, 3):
        raise ProtocolError(f"batch {batch.number} holds images of shape {pixels.shape[1:]}")
    return pixels


def _decoded(file: bytes) -> Pixels:
    try:
        return np.asarray(read_image_bytes(file, "an image that came"), np.uint8)
    except ConfigError as error:
        raise ProtocolError(str(error)) from error


def _again(kept: list[Sample], epoch: int) -> Iterator[Sample]:
    """Yield batches of the same sizes, of all samples in another order."""
    pixels = np.concatenate([one for one, _ in kept])
    labels = torch.cat([one for _, one in kept])
    order = np.random.default_rng(epoch).permutation(len(pixels))
    start = 0
    for one, _ in kept:
        chosen = order[start : start + len(one)]
        start += len(one)
        yield pixels[chosen], labels[torch.from_numpy(chosen)]


if __name__ == "__main__":
    console.terminate_like_interrupt()
    torch.set_num_threads(1)
    tell_each_step()
    console.run(lambda: main(Role.model_validate_json(sys.argv[1])))
