"""The rules, by kind of operator; importing this package enters them into the table."""

from hiertk.export.xnnpack.rules import (
    convolutions,
    elementwise,
    matrices,
    normalizations,
    pools,
    shapes,
)

__all__ = ["convolutions", "elementwise", "matrices", "normalizations", "pools", "shapes"]
