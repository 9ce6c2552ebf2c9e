"""Tensors of a class slot's rows, with more rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hiertk_protocol.errors import BundleError

Array = npt.NDArray[Any]


def with_more_rows(name: str, old: Array, fresh: Array) -> Array:
    """Return the old tensor, followed by the rows that only the fresh one has.

    Raises BundleError if they differ in anything but the number of rows.
    """
    if old.dtype == fresh.dtype and old.shape == fresh.shape:
        return old
    fits = old.ndim > 0 and old.shape[1:] == fresh.shape[1:] and len(old) < len(fresh)
    if not (fits and old.dtype == fresh.dtype):
        raise BundleError(
            f"the checkpoint's {name} is {old.dtype} {old.shape}, the bundle's {fresh.dtype} "
            f"{fresh.shape}: grow the bundle that the device has, or take another state folder"
        )
    return np.concatenate([old, fresh[len(old) :]])
