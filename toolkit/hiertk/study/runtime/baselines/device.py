"""The device of a baseline: uploads images, or trains with gradients from the cloud.

python -m hiertk.study.runtime.baselines.device ROLE, as JSON. Uploading needs no PyTorch.
"""

import io
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hiertk_edge.images import Pixels
from hiertk_edge.sources import ImageBatch, open_data_set
from hiertk_protocol import console
from hiertk_protocol.manifest import InputInfo
from PIL import Image

from hiertk.study.runtime.baselines.pieces import Batch, Kind
from hiertk.study.runtime.baselines.role import Role
from hiertk.study.runtime.baselines.wire import Wire
from hiertk.study.runtime.telling import Snapshots, tell, tell_end, tell_loaded

JPEG_QUALITY = 90


def main(role: Role) -> None:
    """Play the role until everything is sent, or trained."""
    with Wire(role.broker, "device") as wire:
        if role.is_split:
            _train(role, wire)
        else:
            _upload(role, wire)


def _upload(role: Role, wire: Wire) -> None:
    tell_loaded()
    passes = 1 if role.sends_once else role.epochs
    pixels_as_they_are = InputInfo(size=role.input.size, mean=(0, 0, 0), std=(1, 1, 1))
    tell("started")
    for batch in _read_ahead(_images(role, pixels_as_they_are, passes)):
        pixels = np.rint(batch.images * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        wire.send(as_sent(role, pixels, batch))
    wire.drain()
    tell_end()


def as_sent(role: Role, pixels: Pixels, batch: ImageBatch) -> Batch:
    """Return pixels (N, S, S, 3) as the role sends them."""
    if role.payload == "raw":
        return Batch(Kind.PIXELS, batch.consumed, batch.labels, values=pixels)
    files = tuple(_file(one, role.payload) for one in pixels)
    return Batch(Kind.FILES, batch.consumed, batch.labels, files=files)


def _file(pixels: Pixels, payload: str) -> bytes:
    content = io.BytesIO()
    if payload == "png":
        Image.fromarray(pixels).save(content, "PNG", optimize=True)
    else:
        Image.fromarray(pixels).save(content, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return content.getvalue()


def _train(role: Role, wire: Wire) -> None:
    import torch

    from hiertk.study.runtime.baselines.networks import edge_partition
    from hiertk.study.runtime.baselines.split import SplitEdge, features_batch, tensor_of
    from hiertk.study.runtime.telling import weights_of

    tell_loaded()
    edge = SplitEdge(edge_partition(role), role.rate)
    snapshots = Snapshots(role.snapshots, "edge", role.every)
    tell("started")
    for batch in _read_ahead(_images(role, role.input, role.epochs)):
        number = batch.consumed
        features = edge.forward(torch.from_numpy(batch.images))
        is_half = role.payload == "fp16"
        wire.send(features_batch(features, batch.labels, number, is_half=is_half))
        edge.update(features, tensor_of(wire.receive(), Kind.GRADIENTS, features.shape))
        if snapshots.is_due(number):
            snapshots.take(number, weights_of(edge.module))
    wire.drain()
    tell_end()


def _images(role: Role, info: InputInfo, passes: int) -> Iterator[ImageBatch]:
    """Yield the batches of all passes, in the agent's order."""
    data = open_data_set(f"folder:{role.images}", role.classes, info, cache=role.cache)
    return data.training_batches(role.batch_size, seed=role.seed, consumed=0, passes=passes)


def _read_ahead(batches: Iterator[ImageBatch]) -> Iterator[ImageBatch]:
    """Yield batches, while a thread reads the one after."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


if __name__ == "__main__":
    console.terminate_like_interrupt()
    console.run(lambda: main(Role.model_validate_json(sys.argv[1])))
