"""Every separation point of every network cuts it exactly in two."""

import pytest
import torch
from hiertk.models import NetworkSpec, Stem, build, cut, separation_point, separation_points
from hiertk.models.networks import feature_shape
from hiertk_protocol.errors import ModelError
from torch import nn

SLOTS = 16
PLACES = [
    *(("resnet18", stem, split) for stem in ("torchvision", "3x3") for split in range(1, 9)),
    *(("vgg16", "torchvision", split) for split in range(1, 14)),
]


def network(name: str, stem: Stem = "torchvision", size: int = 32) -> nn.Module:
    torch.manual_seed(0)
    return build(NetworkSpec(name, SLOTS, size, stem)).eval()


@pytest.mark.parametrize(("name", "stem", "split"), PLACES)
def test_cloud_of_edge_is_the_network_bit_for_bit(name: str, stem: Stem, split: int) -> None:
    model = network(name, stem)
    partitions = cut(model, separation_point(name, model, split))
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(partitions.cloud(partitions.edge(images)), model(images))


@pytest.mark.parametrize(("name", "stem", "split"), PLACES)
def test_the_partitions_share_the_parameters_out(name: str, stem: Stem, split: int) -> None:
    model = network(name, stem)
    partitions = cut(model, separation_point(name, model, split))
    edge, cloud = set(partitions.edge.state_dict()), set(partitions.cloud.state_dict())
    assert not edge & cloud
    assert edge | cloud == set(model.state_dict())


def test_resnet18_is_cut_after_its_residual_blocks() -> None:
    assert separation_points("resnet18", network("resnet18")) == [
        "layer1.0", "layer1.1", "layer2.0", "layer2.1",
        "layer3.0", "layer3.1", "layer4.0", "layer4.1",
    ]  # fmt: skip


def test_vgg16_is_cut_after_its_convolutions_with_the_pool_that_follows() -> None:
    model = network("vgg16")
    points = separation_points("vgg16", model)
    assert len(points) == 13
    sizes = [feature_shape(cut(model, point).edge, 32)[1] for point in points]
    assert sizes == [32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2, 1]


def test_the_small_stem_keeps_the_resolution() -> None:
    model = network("resnet18", "3x3")
    assert feature_shape(cut(model, "layer1.1").edge, 32) == (64, 32, 32)


def test_vgg16_is_compact_on_small_inputs_only() -> None:
    hidden = [
        next(layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear))
        for model in (network("vgg16", size=64), network("vgg16", size=224))
    ]
    assert hidden == [512, 4096]


class TwoTensorsCross(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        crossed: torch.Tensor = self.second(self.first(x)) + x
        return crossed


class LooksAtData(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_place_that_two_tensors_cross_is_refused() -> None:
    with pytest.raises(ModelError, match=r"first is no separation point: x crosses it as well"):
        cut(TwoTensorsCross(), "first")


def test_a_graph_that_depends_on_data_is_refused() -> None:
    with pytest.raises(ModelError, match="depends on its data"):
        cut(LooksAtData(), "anything")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (NetworkSpec("resnet9000", 16, 32), "choose from resnet18, vgg16"),
        (NetworkSpec("vgg16", 16, 31), "at least 32 pixels, not 31"),
        (NetworkSpec("vgg16", 16, 32, "3x3"), "no 3x3 stem"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(spec: NetworkSpec, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(spec)


@pytest.mark.parametrize("split", [0, -1, 9])
def test_a_point_out_of_range_is_refused(split: int) -> None:
    with pytest.raises(ModelError, match=f"separation points 1 to 8, not {split}"):
        separation_point("resnet18", network("resnet18"), split)
