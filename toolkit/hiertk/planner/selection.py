"""The selection: the separation point and bits of least predicted time under the user's limits.

The method is ours, after the paper's Algorithm 1 (whose text is not known to us): the least time
per batch of hierarchical training in a pipeline, among the points that meet every limit. Times
within 0.1 % count as equal; then fewer bytes on the uplink decide, then the shallower point. Unless
told otherwise the edge partition must not hold more parameters than the cloud partition: the paper
calls deeper points undesirable.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hiertk_protocol.errors import ConfigError

from hiertk.planner.amounts import count_text, ms_text, size_text
from hiertk.planner.prediction import Prediction

_EQUAL_WITHIN = 1e-3

Drops = Mapping[tuple[int, int], float]  # (split, bits): accuracy below the uncut network's


@dataclass(frozen=True)
class Limits:
    """What the user allows; None is no limit.

    edge_memory_bytes: of the device's training process. edge_parameters: None for as many as the
    cloud partition has. uplink_bytes: of one sample. step_s: the device's work for one batch.
    accuracy_drop: share of samples.
    """

    edge_memory_bytes: int | None = None
    edge_parameters: int | None = None
    uplink_bytes: int | None = None
    step_s: float | None = None
    accuracy_drop: float | None = None


@dataclass(frozen=True)
class Check:
    """One limit against one prediction. what: the flag, or what is limited by default."""

    what: str
    value: float
    limit: float
    text: Callable[[float], str]

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit

    @property
    def excess(self) -> float:
        """The value over the limit: above 1 it is missed."""
        return self.value / self.limit

    def __str__(self) -> str:
        """Say by how much the limit is missed."""
        if math.isinf(self.value):
            return f"{self.what}: no measured accuracy"
        return f"{self.what}: {self.text(self.value)} is more than {self.text(self.limit)}"


def missed_limits(prediction: Prediction, limits: Limits, drops: Drops) -> list[Check]:
    """Return the limits that a prediction does not meet."""
    return [check for check in _checks(prediction, limits, drops) if not check.is_met]


def select(predictions: Sequence[Prediction], limits: Limits, drops: Drops) -> Prediction:
    """Return the prediction of least time that meets every limit.

    Raises ConfigError if there is none; it names the tightest limit and what misses it least.
    """
    allowed = [one for one in predictions if not missed_limits(one, limits, drops)]
    if not allowed:
        raise ConfigError(_tightest(predictions, limits, drops))
    return fastest(allowed)


def fastest(predictions: Sequence[Prediction]) -> Prediction:
    """Return the prediction of least time; equal ones by uplink bytes, then separation point."""
    bound = min(one.seconds for one in predictions) * (1 + _EQUAL_WITHIN)
    equal = [one for one in predictions if one.seconds <= bound]
    return min(equal, key=lambda one: (one.feature_bytes, one.cut.split))


def _checks(prediction: Prediction, limits: Limits, drops: Drops) -> list[Check]:
    cut = prediction.cut
    checks = [_parameters(prediction, limits.edge_parameters)]
    if limits.edge_memory_bytes is not None:
        checks.append(
            Check(
                "--max-edge-memory",
                prediction.peak_memory_bytes,
                limits.edge_memory_bytes,
                size_text,
            )
        )
    if limits.uplink_bytes is not None:
        checks.append(
            Check("--max-uplink-bytes", prediction.feature_bytes, limits.uplink_bytes, size_text)
        )
    if limits.step_s is not None:
        busy_s = prediction.hierarchical.edge.busy_s
        checks.append(Check("--max-step-time", busy_s, limits.step_s, _ms))
    if limits.accuracy_drop is not None:
        drop = drops.get((cut.split, prediction.bits), math.inf)
        checks.append(Check("--max-accuracy-drop", drop, limits.accuracy_drop, _percent))
    return checks


def _parameters(prediction: Prediction, most: int | None) -> Check:
    cut = prediction.cut
    if most is not None:
        return Check("--max-edge-parameters", cut.edge_parameters, most, count_text)
    return Check(
        "edge parameters against the cloud's (--max-edge-parameters overrides)",
        cut.edge_parameters,
        max(1, cut.cloud_parameters),
        count_text,
    )


def _tightest(predictions: Sequence[Prediction], limits: Limits, drops: Drops) -> str:
    """Say which limit no point meets, or, if each is met by some point, what is nearest to all."""
    rows = [(one, _checks(one, limits, drops)) for one in predictions]
    bests = [
        min(column, key=lambda pair: pair[1].excess)
        for column in zip(
            *([(one, check) for check in checks] for one, checks in rows), strict=True
        )
    ]
    nearest, check = max(bests, key=lambda pair: pair[1].excess)
    if math.isinf(check.excess):
        return "--max-accuracy-drop: --accuracies has no separation point of this plan: add them"
    if not check.is_met:
        return (
            f"no separation point meets the limits; the tightest is {check} "
            f"({_factor(check)}) at the best, point {nearest.cut.split} at {nearest.bits} bits"
        )
    nearest, checks = min(rows, key=lambda row: max(one.excess for one in row[1]))
    check = max(checks, key=lambda one: one.excess)
    return (
        "no separation point meets all limits at once; nearest is point "
        f"{nearest.cut.split} at {nearest.bits} bits, which misses the tightest, {check} "
        f"({_factor(check)})"
    )


def _factor(check: Check) -> str:
    return f"missed by {check.excess - 1:.1%}"


def _ms(seconds: float) -> str:
    return f"{ms_text(seconds)} ms"


def _percent(share: float) -> str:
    return f"{share:.2%}"
