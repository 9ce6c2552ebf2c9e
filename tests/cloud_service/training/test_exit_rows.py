"""The final exit's rows: found in every kind of network, and imprinted by real images."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from cloud_service.cloud_parts import MANIFEST, SHAPE, make_module
from hiertk.data import sets
from hiertk.models import CutSpec, NetworkSpec, both_sides, open_network
from hiertk_cloud.training.exit_rows import find_final_layer
from hiertk_cloud.training.learner import CloudLearner, Learned
from hiertk_cloud.training.samples import Samples
from hiertk_protocol.codec import Float32Array, quantize
from hiertk_protocol.manifest import ClassInfo
from hiertk_protocol.messages import SlotArray
from torch import nn

OLD, NEW = range(5), 7  # of Fashion-MNIST: tops, trousers, dress, coat; sneaker
EIGHT = MANIFEST.model_copy(update={"classes": ClassInfo(names=tuple("abcde"), capacity=8)})


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "mobilenet_v3_small"])
def test_the_last_linear_layer_is_found_in_every_network(name: str) -> None:
    network = NetworkSpec(name, slots=12, input_size=32)
    cuttable = open_network(network)
    sides = both_sides(cuttable, CutSpec(network, split=1))
    found = find_final_layer(sides.cloud, torch.zeros(2, *sides.feature_shape))
    assert found is not None
    layer = sides.cloud.get_submodule(found)
    assert isinstance(layer, nn.Linear)
    assert layer.out_features == 12


def test_where_the_logits_are_a_convolution_there_is_none() -> None:
    network = nn.Sequential(
        nn.Linear(SHAPE[2], 4), nn.Conv2d(SHAPE[0], 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert find_final_layer(network, torch.zeros(2, *SHAPE)) is None


@cache
def fashion() -> tuple[Float32Array, SlotArray]:
    """Real images of 8x8 as features: an edge partition that makes four channels of each."""
    images = sets.load("fashion-mnist-mini", "train")
    inputs, labels = images.tensors(range(1500), MANIFEST.input)
    features = nn.functional.pixel_unshuffle(inputs[:, :1], 2).numpy()
    return np.ascontiguousarray(features), labels.numpy()


def samples(slots: Sequence[int], count: int, seed: int) -> Samples:
    features, labels = fashion()
    rows = np.flatnonzero(np.isin(labels, slots))
    chosen = np.random.default_rng(seed).choice(rows, count, replace=False)
    return Samples(quantize(features[chosen], 8), labels[chosen])


def accuracy(learner: CloudLearner, slots: Sequence[int]) -> float:
    test = samples(slots, 100, 10_000)
    return float((learner.predict(test.features) == test.labels).mean())


@pytest.mark.parametrize("imprint", [True, False])
def test_five_real_examples_and_one_step_are_enough_with_an_imprinted_row(imprint: bool) -> None:
    learner = CloudLearner(make_module(), EIGHT, 1e-2)
    for step in range(80):
        assert isinstance(learner.learn(samples(OLD, 32, step)), Learned)
    before = accuracy(learner, OLD)
    learner.learn(samples([NEW], 5, 500), [samples(OLD, 27, 501)], imprint=imprint)
    assert (accuracy(learner, [NEW]) > 0.5) == imprint
    assert accuracy(learner, OLD) > before - 0.15
