"""Devices whose loss stays far above their peers': a wrong label file, a broken camera. Pure."""

from collections.abc import Mapping
from statistics import median

from hiertk_cloud.training.progress import DeviceProgress

_MIN_PEERS = 3
_MIN_TRAINED = 50
_FAR = 5.0  # times the median absolute deviation, which is 3.4 standard deviations of a normal law
_ABOVE = 1.5  # times the median, where the peers are very much alike


def suspects(devices: Mapping[str, DeviceProgress]) -> frozenset[str]:
    """Return the devices whose running mean of the final exit's loss lies far above the median.

    Only devices with enough batches count, and at least three peers make a comparison.
    Source of the rule: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993.
    """
    losses = {
        name: one.final_exit_loss
        for name, one in devices.items()
        if one.final_exit_loss is not None and one.trained_total >= _MIN_TRAINED
    }
    if len(losses) <= _MIN_PEERS:
        return frozenset()
    middle = median(losses.values())
    deviation = median(abs(loss - middle) for loss in losses.values())
    limit = max(middle + _FAR * deviation, _ABOVE * middle)
    return frozenset(name for name, loss in losses.items() if loss > limit)
