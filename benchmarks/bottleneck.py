"""What a bottleneck costs in accuracy, on real images, and what it saves on the wire."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context

import numpy as np
import torch
from hiertk.data import ImageSet, load
from hiertk.export.settings import IMAGENET_MEAN, IMAGENET_STD
from hiertk.models import CutSpec, NetworkSpec, both_sides, open_network
from hiertk.training import HierarchicalTraining
from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.manifest import ClassInfo, InputInfo
from torch import Tensor

from benchmarks.figures import Figure
from benchmarks.workplace import Workplace

TITLE = "Bottleneck: accuracy and bytes"
HOW = """\
ResNet-18, separation point 2 (64 channels), 32x32, 4 bits: the reference in PyTorch (the same step
as in the field, features through the codec), AdamW at 1e-3 on both sides, no replay, batches of 32.
Trained on 6,000 images of Fashion-MNIST for 3 passes, measured on all 10,000 test images; a seed
sets weights and order. Bytes are of one sample after compression, at the end of training."""

BITS = 4
_BATCH = 32
_SPEC = NetworkSpec("resnet18", 16, 32)
_INFO = InputInfo(size=32, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_CHANNELS = (None, 16, 8)


@dataclass(frozen=True)
class _Amount:
    seeds: int
    passes: int
    images: int
    test: str
    test_images: int


_AMOUNTS = {
    "tiny": _Amount(1, 1, 64, "fashion-mnist-mini", 64),
    "quick": _Amount(1, 1, 3000, "fashion-mnist-mini", 1000),
    "full": _Amount(3, 3, 6000, "fashion-mnist", 10_000),
}


@dataclass(frozen=True)
class _Outcome:
    early: float
    final: float
    bytes: float


def measure(place: Workplace) -> list[Figure]:
    """Return both exits' accuracies and the bytes, for each width of the bottleneck."""
    amount = _AMOUNTS[place.effort]
    figures = []
    runs = [(channels, seed, amount) for channels in _CHANNELS for seed in range(amount.seeds)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        every = iter(list(pool.map(_train, *zip(*runs, strict=True))))
    for channels in _CHANNELS:
        outcomes = list(islice(every, amount.seeds))
        name = "no bottleneck (64 channels)" if channels is None else f"{channels} channels"
        figures += [
            Figure(
                what=f"{name}: final exit",
                unit="% right",
                samples=tuple(100 * one.final for one in outcomes),
            ),
            Figure(
                what=f"{name}: early exit",
                unit="% right",
                samples=tuple(100 * one.early for one in outcomes),
            ),
            Figure(
                what=f"{name}: on the wire",
                unit="B/sample",
                samples=tuple(one.bytes for one in outcomes),
            ),
        ]
        place.tell(", ".join(figure.text for figure in figures[-3:]))
    return figures


def _train(channels: int | None, seed: int, amount: _Amount) -> _Outcome:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    spec = CutSpec(_SPEC, 2, channels)
    sides = both_sides(open_network(_SPEC), spec)
    train = load("fashion-mnist-mini", "train")
    classes = ClassInfo(names=train.classes, capacity=_SPEC.slots)
    training = HierarchicalTraining(
        sides.edge,
        sides.cloud,
        torch.optim.AdamW(sides.edge.parameters(), 1e-3, weight_decay=0, fused=True),
        torch.optim.AdamW(sides.cloud.parameters(), 1e-3, weight_decay=0, fused=True),
        torch.from_numpy(classes.bias()),
        BITS,
    )
    order = np.random.default_rng(seed)
    for _ in range(amount.passes):
        shuffled = order.permutation(len(train))[: amount.images]
        for start in range(0, len(shuffled) - 1, _BATCH):
            training.step(*_tensors(train, shuffled[start : start + _BATCH]))
    test = load(amount.test, "test")
    batches = [
        _tensors(test, np.arange(start, min(start + 250, amount.test_images)))
        for start in range(0, amount.test_images, 250)
    ]
    accuracies = training.evaluate(batches)
    with torch.no_grad():
        _, features = training.edge(batches[0][0][:_BATCH], training.class_bias)
    sent = encode(quantize(features.numpy(), BITS)).ByteSize()
    return _Outcome(accuracies.early, accuracies.final, sent / _BATCH)


def _tensors(images: ImageSet, chosen: "np.typing.NDArray[np.int64]") -> tuple[Tensor, Tensor]:
    inputs, labels = images.tensors(chosen, _INFO)
    return inputs, labels
