"""Networks from elsewhere: timm's by name, and factories in the user's own code."""

import importlib
import os
import re
import sys

from hiertk_protocol.errors import ModelError
from torch import nn

_TIMM = "timm:"
_TIMM_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")  # no hub prefix: nothing is downloaded
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def is_timm(name: str) -> bool:
    """Return whether a network is named as timm's."""
    return name.startswith(_TIMM)


def is_factory(name: str) -> bool:
    """Return whether a network is named as `package.module:factory`."""
    return not is_timm(name) and _FACTORY.fullmatch(name) is not None


def build_from_timm(name: str, slots: int) -> nn.Module:
    """Build `timm:NAME` with fresh weights. Raises ModelError."""
    short = name.removeprefix(_TIMM)
    try:
        import timm
    except ImportError as error:
        raise ModelError(f"{name} needs timm: pip install timm") from error
    if not _TIMM_NAME.fullmatch(short) or not timm.is_model(short):
        close = ", ".join(timm.list_models(f"*{short.split('.')[0][:8]}*")[:5])
        raise ModelError(
            f"timm has no network {short[:80]!r}{f': close are {close}' * bool(close)}"
        )
    try:
        model: nn.Module = timm.create_model(short, pretrained=False, num_classes=slots)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"timm cannot build {short}: {_first(error)}") from error
    return model


def build_from_factory(name: str, slots: int) -> nn.Module:
    """Call `package.module:factory` with num_classes=slots; the current folder is searched first.

    Raises ModelError if it cannot be imported or gives no module.
    """
    module_name, _, function = name.partition(":")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), function)
        model = factory(num_classes=slots)
    except Exception as error:  # whatever the user's own code trips over
        raise ModelError(
            f"{name} gives no network: {type(error).__name__}: {_first(error)}: it must be "
            "importable from here and take num_classes"
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} returned {type(model).__name__}, not a torch.nn.Module")
    return model


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
