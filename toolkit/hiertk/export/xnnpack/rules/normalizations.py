"""Rules for batch and group normalization."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from hiertk.export.xnnpack import normalization
from hiertk.export.xnnpack.graph import Value
from hiertk.export.xnnpack.layout import Activation
from hiertk.export.xnnpack.translate import Translator, node_rule, rule

aten = torch.ops.aten


@node_rule(aten.native_batch_norm.default)
def batch_norm(
    t: Translator, node: fx.Node, images: Activation, weight: Value, bias: Value,
    mean: Value, variance: Value, training: bool, momentum: float, eps: float,
) -> tuple[Any, ...]:  # fmt: skip
    if not training:
        found = normalization.fixed_normalize(t.on, images, (mean, variance), (weight, bias), eps)
        return found, None, None
    result, centered, moments = normalization.batch_normalize(t.on, images, weight, bias, eps)
    t.keep(images, centered)
    unbiased = t.on.scale(moments.variance, moments.count / (moments.count - 1))
    changed_mean, changed_variance = node.args[3], node.args[4]
    assert isinstance(changed_mean, fx.Node)
    assert isinstance(changed_variance, fx.Node)
    t.replace(changed_mean, normalization.moved(t.on, mean, moments.mean, momentum))
    t.replace(changed_variance, normalization.moved(t.on, variance, unbiased, momentum))
    return result, None, None


@rule(aten.native_batch_norm_backward.default)
def batch_norm_gradient(
    t: Translator, gradient: Activation, images: Activation, weight: Value, *_: Any
) -> tuple[Any, ...]:
    return normalization.batch_gradients(t.on, gradient, t.kept[id(images)], weight)


@rule(aten.native_group_norm.default)
def group_norm(
    t: Translator, images: Activation, weight: Value, bias: Value, samples: int, channels: int,
    pixels: int, groups: int, eps: float,
) -> tuple[Any, ...]:  # fmt: skip
    result, centered = normalization.group_normalize(
        t.on, images, (weight, bias), groups=groups, eps=eps
    )
    t.keep(images, centered)
    return result, None, None


@rule(aten.native_group_norm_backward.default)
def group_norm_gradient(
    t: Translator, gradient: Activation, images: Activation, mean: None, scale: None,
    weight: Value, samples: int, channels: int, pixels: int, groups: int, wanted: Sequence[bool],
) -> tuple[Any, ...]:  # fmt: skip
    return normalization.group_gradients(t.on, gradient, t.kept[id(images)], groups, weight)
