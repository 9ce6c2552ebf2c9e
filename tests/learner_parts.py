"""What the tests of learners share: real batches, and the network that a bundle was made from."""

import numpy as np
import torch
from hiertk.data import load
from hiertk.export.parity import InspectableLearner
from hiertk.models import CutSpec, EdgeModel, NetworkSpec, both_sides, open_network
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.learner import Float32Array, SlotArray
from hiertk_protocol.bundle import Bundle


def batches(
    bundle: Bundle, count: int, size: int | None = None
) -> list[tuple[Float32Array, SlotArray]]:
    size = size or min(16, bundle.manifest.engine.batch_size)
    images, labels = load("fashion-mnist-mini", "train").tensors(
        range(count * size), bundle.manifest.input
    )
    return [
        (images[start : start + size].numpy(), labels[start : start + size].numpy())
        for start in range(0, count * size, size)
    ]


def reference_of(bundle: Bundle) -> EdgeModel:
    """Build the network that the bundle was exported from."""
    manifest = bundle.manifest
    network = NetworkSpec(
        manifest.model.name, manifest.classes.capacity, manifest.input.size, manifest.model.stem
    )
    torch.manual_seed(0)
    return both_sides(open_network(network), CutSpec(network, manifest.model.split)).edge


def open_inspectable(bundle: Bundle, learning_rate: float | None = None) -> InspectableLearner:
    learner = open_learner(bundle, learning_rate=learning_rate)
    assert isinstance(learner, InspectableLearner)
    return learner


def equal(one: dict[str, Float32Array], other: dict[str, Float32Array]) -> bool:
    """Return whether all values are the same, bit by bit."""
    return one.keys() == other.keys() and all(
        np.array_equal(value, other[name]) for name, value in one.items()
    )
