"""The arithmetic of the cloud's training steps in a study."""

from typing import Literal, cast, get_args

from hiertk_protocol.errors import ConfigError

Precision = Literal["float32", "bfloat16"]


def parse_precision(text: str) -> Precision:
    """Read the name of a precision. Raises ConfigError."""
    if text not in get_args(Precision):
        raise ConfigError(f"--precision {text!r:.60}: choose from {', '.join(get_args(Precision))}")
    return cast("Precision", text)


def in_the_cloud(precision: Precision) -> str:
    """Return what a study's name tells about it: nothing about float32."""
    return "" if precision == "float32" else f", {precision} in the cloud"
