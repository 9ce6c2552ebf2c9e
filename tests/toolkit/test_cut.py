"""Every separation point of every network cuts it exactly in two."""

import pytest
import torch
from hiertk.models import NETWORKS, Cuttable, NetworkSpec, build, open_network
from hiertk.models.networks import build_without_values
from hiertk_protocol.errors import ModelError
from hiertk_protocol.manifest import Normalization, Stem
from networks import network
from torch import nn

SLOTS = 16
BLOCKS = {
    "resnet18": 8,
    "resnet34": 16,
    "resnet50": 16,
    "vgg11": 8,
    "vgg11_bn": 8,
    "vgg16": 13,
    "vgg16_bn": 13,
    "vgg19": 16,
    "vgg19_bn": 16,
    "mobilenet_v2": 18,
    "mobilenet_v3_small": 12,
    "mobilenet_v3_large": 16,
    "efficientnet_b0": 17,
    "shufflenet_v2_x1_0": 17,
    "regnet_y_400mf": 16,
    "convnext_tiny": 21,
}
QUICK = ("resnet18", "vgg16", "mobilenet_v3_small", "shufflenet_v2_x1_0")
SPECS = [
    *(
        pytest.param(NetworkSpec(name, SLOTS, 32), marks=() if name in QUICK else pytest.mark.slow)
        for name in NETWORKS
    ),
    NetworkSpec("resnet18", SLOTS, 32, "3x3"),
    NetworkSpec("resnet18", SLOTS, 32, normalization="group"),
    NetworkSpec("resnet18", SLOTS, 32, normalization="frozen"),
    NetworkSpec("timm:resnet18", SLOTS, 32),
    NetworkSpec("timm:mobilenetv3_small_050", SLOTS, 32),
    pytest.param(NetworkSpec("timm:convnext_atto", SLOTS, 32), marks=pytest.mark.slow),
    pytest.param(NetworkSpec("torchvision.models:densenet121", SLOTS, 32), marks=pytest.mark.slow),
    NetworkSpec("torchvision.models:squeezenet1_1", SLOTS, 64),
]


@pytest.mark.parametrize(
    "spec", SPECS, ids=lambda spec: f"{spec.name}-{spec.stem}-{spec.normalization}"
)
def test_every_point_cuts_the_network_exactly_in_two(spec: NetworkSpec) -> None:
    """Bit for bit, and every parameter on one side."""
    torch.manual_seed(0)
    opened = open_network(spec, trusted_factory=spec.name)
    model = opened.model.eval()
    images = torch.randn(2, 3, spec.input_size, spec.input_size)
    with torch.no_grad():
        wanted = model(images)
        for point in opened.points:
            sides = opened.cut(point.number)
            features = sides.edge.eval()(images)
            assert features.shape[1:] == point.feature_shape
            assert torch.equal(sides.cloud.eval()(features), wanted), point
            edge, cloud = set(sides.edge.state_dict()), set(sides.cloud.state_dict())
            assert not edge & cloud
            assert edge | cloud == set(model.state_dict())
    assert len(opened.segments()) == len(opened.points) + 1


@pytest.mark.parametrize(("name", "count"), BLOCKS.items())
def test_points_are_the_networks_own_blocks(name: str, count: int) -> None:
    model = build_without_values(NetworkSpec(name, SLOTS, 64))
    assert len(Cuttable(model, 64, SLOTS).points) == count


def test_every_network_of_the_list_is_counted() -> None:
    assert set(BLOCKS) == set(NETWORKS)


def test_resnet18_is_cut_after_its_residual_blocks() -> None:
    assert [point.name for point in network("resnet18").points] == [
        "layer1.0", "layer1.1", "layer2.0", "layer2.1",
        "layer3.0", "layer3.1", "layer4.0", "layer4.1",
    ]  # fmt: skip


def test_vgg16_is_cut_after_its_convolutions_with_the_pool_that_follows() -> None:
    points = network("vgg16").points
    assert [point.feature_shape[1] for point in points] == [
        32,
        16,
        16,
        8,
        8,
        8,
        4,
        4,
        4,
        2,
        2,
        2,
        1,
    ]
    assert points[1].name == "features.4"


def test_convnext_is_cut_after_its_blocks_and_its_downsampling() -> None:
    names = [point.name for point in network("convnext_tiny").points]
    assert names[:5] == [
        "features.1.0",
        "features.1.1",
        "features.1.2",
        "features.2",
        "features.3.0",
    ]


def test_the_small_stem_keeps_the_resolution() -> None:
    opened = open_network(NetworkSpec("resnet18", SLOTS, 32, "3x3"))
    assert opened.point(2).feature_shape == (64, 32, 32)


def test_vgg16_is_compact_on_small_inputs_only() -> None:
    models = [build_without_values(NetworkSpec("vgg16", SLOTS, size)) for size in (64, 224)]
    hidden = [
        next(layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear))
        for model in models
    ]
    assert hidden == [512, 4096]


class Plain(nn.Module):
    """Functions between convolutions, and one activation used again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 8, 3, padding=1)
        self.activation = nn.ReLU()
        self.head = nn.Linear(8, SLOTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.first(x))
        x = torch.nn.functional.max_pool2d(self.activation(self.second(x)), 2)
        logits: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def test_a_network_of_functions_is_cut_after_what_belongs_to_each_convolution() -> None:
    opened = Cuttable(Plain(), 8, SLOTS)
    assert [point.name for point in opened.points] == ["activation", "max_pool2d"]
    images = torch.randn(2, 3, 8, 8)
    for split in (1, 2):
        sides = opened.cut(split)
        assert torch.equal(sides.cloud(sides.edge(images)), opened.model(images))


class TwoTensorsCross(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = self.first(x)
        both = self.second(side).mean(dim=(2, 3)) + side.repeat(1, 2, 1, 1).mean(dim=(2, 3))
        logits: torch.Tensor = self.head(both)
        return logits


class LooksAtData(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class DropsByFunction(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.nn.functional.dropout(x, training=self.training))


class NoConvolution(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(x.repeat(1, 3, 1, 1)[:, :8].mean(dim=(2, 3)))
        return logits


class OtherWidth(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, SLOTS + 1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            LooksAtData,
            r"cannot be traced to a graph: .*control flow \(test_cut.py, line \d+: return",
        ),
        (DropsByFunction, "another in training than in inference: use modules such as nn.Dropout"),
        (NoConvolution, "no separation point: no single tensor"),
        (OtherWidth, r"returns \(N, 17\), not logits \(N, 16\)"),
    ],
)
def test_what_cannot_be_cut_is_told_why(kind: type[nn.Module], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Cuttable(kind(), 8, SLOTS)


def test_a_place_that_two_tensors_cross_is_no_point() -> None:
    assert [point.name for point in Cuttable(TwoTensorsCross(), 8, SLOTS).points] == ["first"]


@pytest.mark.parametrize(
    ("name", "size", "stem", "normalization", "message"),
    [
        ("resnet9000", 32, "torchvision", "batch", "choose from resnet18, resnet34"),
        ("vgg16", 31, "torchvision", "batch", "31 pixels do not fit the network"),
        ("resnet18", 31, "torchvision", "batch", "at least 32 pixels, not 31"),
        ("vgg16", 32, "3x3", "batch", "vgg16 has no 3x3 stem"),
        ("convnext_tiny", 32, "torchvision", "group", "no batch normalization"),
        ("timm:efficientnet_b0", 32, "torchvision", "group", "is a BatchNormAct2d"),
        ("timm:hf-hub:some/thing", 32, "torchvision", "batch", "timm has no network"),
        ("os:getcwd", 32, "torchvision", "batch", "os:getcwd gives no network"),
        ("builtins:dict", 32, "torchvision", "batch", "returned dict, not a torch.nn.Module"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(
    name: str, size: int, stem: Stem, normalization: Normalization, message: str
) -> None:
    spec = NetworkSpec(name, SLOTS, size, stem, normalization)
    with pytest.raises(ModelError, match=message) as raised:
        open_network(spec, trusted_factory=name)
    assert "\n" not in str(raised.value)


def test_a_factory_runs_only_if_the_user_named_it() -> None:
    with pytest.raises(ModelError, match=r"start with --factory torchvision\.models:resnet18"):
        build(NetworkSpec("torchvision.models:resnet18", SLOTS, 32))


@pytest.mark.parametrize("split", [0, -1, 9])
def test_a_point_out_of_range_is_refused(split: int) -> None:
    with pytest.raises(ModelError, match=f"separation points 1 to 8, not {split}"):
        network().cut(split)
