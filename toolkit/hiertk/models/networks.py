"""The networks by name, and how each is built for any class count and input size."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from hiertk_protocol.errors import ModelError
from hiertk_protocol.manifest import Normalization, Stem
from torch import nn
from torchvision.ops import StochasticDepth

from hiertk.models.foreign import build_from_factory, build_from_timm, is_factory, is_timm
from hiertk.models.normalization import normalize
from hiertk.models.trace import without_values
from hiertk.network_names import OTHERS, RESIDUAL, VGG

COMPACT_BELOW = 224  # VGG's own classifier expects 7x7 maps, which smaller inputs do not give
_COMPACT_WIDTH = 512


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that determines a network's modules.

    name: one of NETWORKS, `timm:NAME`, or `package.module:factory`. slots: outputs of the final
    exit. input_size: height and width of the input, pixels.
    """

    name: str
    slots: int
    input_size: int
    stem: Stem = "torchvision"
    normalization: Normalization = "batch"


def build(spec: NetworkSpec, *, trusted_factory: str | None = None) -> nn.Module:
    """Build a network with fresh weights from torch's global random state.

    `package.module:factory` is code: it is run only if it is the `trusted_factory` that the user
    has named. Stochastic depth is left out: a training step on a device must be reproducible.
    Raises ModelError for an unknown name, stem or normalization.
    """
    if is_factory(spec.name):
        if spec.name != trusted_factory:
            raise ModelError(
                f"the network {spec.name} is code of your own, which is run only if you say so: "
                f"start with --factory {spec.name} if you trust it"
            )
        model = build_from_factory(spec.name, spec.slots)
    elif is_timm(spec.name):
        model = build_from_timm(spec.name, spec.slots)
    else:
        model = _named(spec.name)(spec)
    _take_stem(model, spec)
    for name, module in list(model.named_modules()):
        if isinstance(module, StochasticDepth):
            model.set_submodule(name, nn.Identity())
    normalize(model, spec.normalization)
    return model


def build_without_values(spec: NetworkSpec, *, trusted_factory: str | None = None) -> nn.Module:
    """Build a network on the meta device: shapes without any value, in a fraction of the time.

    Raises ModelError.
    """
    try:
        with torch.device("meta"):
            return build(spec, trusted_factory=trusted_factory)
    except (ModelError, RuntimeError):  # some compute their widths with tensors; or it is an error
        return without_values(build(spec, trusted_factory=trusted_factory))


def _named(name: str) -> Callable[[NetworkSpec], nn.Module]:
    if name not in NETWORKS:
        raise ModelError(
            f"unknown network {name!r}: choose from {', '.join(NETWORKS)}, timm:NAME, or your own "
            "package.module:factory"
        )
    return NETWORKS[name]


def _torchvision(name: str) -> Callable[[NetworkSpec], nn.Module]:
    def make(spec: NetworkSpec) -> nn.Module:
        model: nn.Module = getattr(torchvision.models, name)(num_classes=spec.slots)
        return model

    return make


def _vgg(name: str) -> Callable[[NetworkSpec], nn.Module]:
    def make(spec: NetworkSpec) -> nn.Module:
        model = _torchvision(name)(spec)
        if spec.input_size < COMPACT_BELOW:
            model.avgpool = nn.AdaptiveAvgPool2d(1)
            model.classifier = nn.Sequential(
                nn.Linear(512, _COMPACT_WIDTH),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                nn.Linear(_COMPACT_WIDTH, spec.slots),
            )
        return model

    return make


def _take_stem(model: nn.Module, spec: NetworkSpec) -> None:
    """Replace a residual network's first layers, which shrink the input to a quarter."""
    if spec.stem == "torchvision":
        return
    if spec.stem != "3x3" or spec.name not in RESIDUAL:
        raise ModelError(
            f"{spec.name} has no {spec.stem} stem: choose torchvision, or for "
            f"{', '.join(RESIDUAL)} 3x3"
        )
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()


NETWORKS: dict[str, Callable[[NetworkSpec], nn.Module]] = (
    {name: _torchvision(name) for name in RESIDUAL}
    | {name: _vgg(name) for name in VGG}
    | {name: _torchvision(name) for name in OTHERS}
)


def parameter_count(module: nn.Module) -> int:
    """Return how many trainable values a module holds."""
    return sum(parameter.numel() for parameter in module.parameters())
