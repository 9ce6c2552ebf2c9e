"""Normalization policies and the bottleneck: what both sides become."""

import pytest
import torch
from hiertk.models import CutSpec, NetworkSpec, both_sides, open_network
from hiertk.models.normalization import FrozenStatistics
from hiertk_protocol.errors import ModelError
from hiertk_protocol.manifest import Normalization
from torch import Tensor, nn

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
BIAS = torch.zeros(16)


def spec(normalization: Normalization = "batch", bottleneck: int | None = None) -> CutSpec:
    return CutSpec(NetworkSpec("resnet18", 16, 32, normalization=normalization), 2, bottleneck)


def test_frozen_statistics_normalize_as_batch_normalization_does_in_inference() -> None:
    layer = nn.BatchNorm2d(8)
    with torch.no_grad():
        for value in (layer.weight, layer.bias, layer.running_mean):
            assert value is not None
            value.uniform_(-1, 1)
        assert layer.running_var is not None
        layer.running_var.uniform_(0.5, 2)
    values = torch.randn(3, 8, 4, 4)
    wanted = layer.eval()(values)
    frozen = FrozenStatistics(layer).train()
    assert torch.allclose(frozen(values), wanted, atol=1e-6)
    assert {name for name, _ in frozen.named_parameters()} == {"weight", "bias"}


def test_frozen_statistics_stay_while_the_rest_trains() -> None:
    sides = both_sides(open_network(spec("frozen").network), spec("frozen"))
    before = {name: value.clone() for name, value in sides.edge.state_dict().items()}
    optimizer = torch.optim.SGD(sides.edge.parameters(), 0.1)
    logits, _ = sides.edge.train()(IMAGES, BIAS)
    logits.square().sum().backward()
    optimizer.step()
    after = sides.edge.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert any(name.endswith("bn1.weight") for name in moved)
    assert not any("running" in name for name in moved)


def test_group_normalization_takes_each_image_by_itself() -> None:
    sides = both_sides(open_network(spec("group").network), spec("group"))
    together = sides.edge.train()(IMAGES, BIAS)[1]
    alone = sides.edge(IMAGES[:1], BIAS)[1]
    assert torch.allclose(together[:1], alone, atol=1e-5)
    assert not [name for name, _ in sides.edge.named_buffers()]


@pytest.mark.parametrize("normalization", ["batch", "frozen", "group"])
def test_a_bottleneck_changes_nothing_on_the_device_but_what_is_sent(
    normalization: Normalization,
) -> None:
    logits, features = list[Tensor](), list[Tensor]()
    for bottleneck in (None, 24):
        torch.manual_seed(0)
        cut = spec(normalization, bottleneck)
        sides = both_sides(open_network(cut.network), cut)
        for found, values in zip((logits, features), sides.edge.train()(IMAGES, BIAS), strict=True):
            found.append(values)
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(features[1], features[0][:, :24])
    assert features[1].is_contiguous()
    assert sides.feature_shape == (24, 8, 8)
    final = sides.cloud.train()(features[1].detach())
    assert final.shape == (4, 16)
    final.sum().backward()
    widening = sides.cloud.get_parameter("widening.weight")
    assert widening.grad is not None
    wide = nn.functional.conv2d(features[1], widening)
    assert torch.allclose(wide[:, :24], features[1] * (64 / 24) ** 0.5)
    assert not wide[:, 24:].any()


@pytest.mark.parametrize("channels", [0, -1, 64, 65])
def test_a_bottleneck_has_to_be_narrower(channels: int) -> None:
    cut = spec(bottleneck=channels)
    with pytest.raises(ModelError, match="the features have 64 here, take fewer"):
        both_sides(open_network(cut.network), cut)


def test_dropout_is_left_out_on_the_edge_only() -> None:
    network = open_network(
        NetworkSpec("torchvision.models:squeezenet1_1", 16, 64),
        trusted_factory="torchvision.models:squeezenet1_1",
    )
    deepest = len(network.points)
    sides = both_sides(network, CutSpec(NetworkSpec("squeezenet", 16, 64), deepest))
    assert not [one for one in sides.edge.modules() if isinstance(one, nn.Dropout)]
    assert [one for one in network.model.modules() if isinstance(one, nn.Dropout)]
