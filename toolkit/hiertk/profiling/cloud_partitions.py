"""What the cloud may have to train: each cloud partition, and the whole network."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from hiertk_protocol.codec import Quantized, quantize
from hiertk_protocol.manifest import FeatureInfo, InputInfo, Manifest
from hiertk_protocol.messages import SlotArray
from torch import Tensor, nn

from hiertk.data import ImageSet
from hiertk.export.cuts import choose_points
from hiertk.export.job import draft_manifest, open_for_export
from hiertk.export.settings import ExportSettings
from hiertk.models import Cuttable, both_sides
from hiertk.profiling.settings import spread

WHOLE_NETWORK = 0
_IMAGE_BITS = 8


@dataclass(frozen=True)
class CloudPartition:
    """A module that the cloud trains. split: 0 is the whole network.

    module: its own copy, fresh. manifest: of a bundle of this cut, without files. features: what
    the module takes, (N, C, H, W) quantized; the images for the whole network. labels: (N,).
    """

    split: int
    name: str
    module: nn.Module
    manifest: Manifest
    features: Quantized
    labels: SlotArray


def cloud_partitions(
    settings: ExportSettings, splits: tuple[int, ...] | None, images: ImageSet, samples: int
) -> Iterator[CloudPartition]:
    """Yield the whole network, then what lies after each separation point (None: after all).

    Features are those of `samples` images, which repeat if the set is small. Raises ModelError.
    """
    network, _ = open_for_export(settings, lambda _: None)
    chosen = choose_points(network, splits, settings.bottleneck)
    whole, manifest = _whole_network(settings, network)
    inputs, labels = _inputs(images, samples, manifest.input)
    yield CloudPartition(
        split=WHOLE_NETWORK,
        name="",
        module=whole,
        manifest=manifest,
        features=quantize(inputs.numpy(), _IMAGE_BITS),
        labels=labels,
    )
    for split in chosen:
        yield _after(replace(settings, split=split), network, inputs, labels)


def _after(
    settings: ExportSettings, network: Cuttable, inputs: Tensor, labels: SlotArray
) -> CloudPartition:
    sides = both_sides(network, settings.spec)
    manifest = draft_manifest(settings, network, sides)
    with torch.no_grad():
        features = copy.deepcopy(sides.edge.partition).train()(inputs)
    return CloudPartition(
        split=settings.split,
        name=manifest.model.split_module,
        module=copy.deepcopy(sides.cloud),
        manifest=manifest,
        features=quantize(features.numpy(), settings.bits),
        labels=labels,
    )


def _whole_network(settings: ExportSettings, network: Cuttable) -> tuple[nn.Module, Manifest]:
    """Return a copy, and a manifest whose features are the images, 8 bits a value."""
    first = replace(settings, split=1, bottleneck=None)
    manifest = draft_manifest(first, network, both_sides(network, first.spec))
    raw = FeatureInfo(shape=manifest.input.shape, bits=_IMAGE_BITS)
    return copy.deepcopy(network.model), manifest.model_copy(update={"features": raw})


def _inputs(images: ImageSet, samples: int, info: InputInfo) -> tuple[Tensor, SlotArray]:
    chosen = np.resize(spread(images, samples), samples)
    inputs, labels = images.tensors(chosen, info)
    return inputs, labels.numpy()
