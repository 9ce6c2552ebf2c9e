"""What would make hierarchical training pay: each answer computed from the runtime model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hiertk.planner.amounts import rate_text
from hiertk.planner.prediction import Outlook, Prediction, Scenario, predict
from hiertk.planner.selection import Drops, Limits, fastest, missed_limits

_LOWEST_RATE, _HIGHEST_RATE = 1e2, 1e13  # bits per second
_HALVINGS = 50


@dataclass(frozen=True)
class Advice:
    """One change that makes hierarchical training pay. value: in the unit that the kind implies.

    kind: uplink (bits per second, below which it pays), bits, replay (0), limit (the separation
    point that a limit forbids), bottleneck (channels at most), edge, cloud (times faster).
    """

    kind: str
    value: float
    text: str


def pays(outlook: Outlook, prediction: Prediction) -> bool:
    """Return whether hierarchical training takes less time than full cloud, both in a pipeline."""
    return prediction.seconds < outlook.full_cloud.pipeline_s


def paying_uplink(scenario: Scenario, limits: Limits, drops: Drops) -> float | None:
    """Return the uplink rate, bits per second, below which some allowed point pays.

    None if none pays at any rate, infinity if it pays at all rates. By bisection: both times grow
    as the rate falls, and a point that pays at one rate pays at every lower one.
    """

    def some_point_pays(rate: float) -> bool:
        link = replace(scenario.link, up_bits_per_s=rate)
        return _best(replace(scenario, link=link), limits, drops) is not None

    if not some_point_pays(_LOWEST_RATE):
        return None
    if some_point_pays(_HIGHEST_RATE):
        return math.inf
    low, high = _LOWEST_RATE, _HIGHEST_RATE
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if some_point_pays(middle) else (low, middle)
    return low


def advise(scenario: Scenario, limits: Limits, drops: Drops) -> list[Advice]:
    """Return changes, each of which alone makes hierarchical training pay; for when it does not."""
    outlook = predict(scenario)
    allowed = [one for one in outlook.points if not missed_limits(one, limits, drops)]
    found = [
        _slower_uplink(scenario, limits, drops),
        _fewer_bits(scenario, limits, drops),
        _no_replay(scenario, limits, drops),
        _forbidden_point(outlook, limits, drops),
        _bottleneck(outlook, allowed),
        _faster_edge(outlook, allowed),
        _faster_cloud(outlook, allowed),
    ]
    return [advice for advice in found if advice is not None]


def _best(scenario: Scenario, limits: Limits, drops: Drops) -> Prediction | None:
    """Return the allowed point of least time if it pays."""
    outlook = predict(scenario)
    allowed = [one for one in outlook.points if not missed_limits(one, limits, drops)]
    best = fastest(allowed) if allowed else None
    return best if best is not None and pays(outlook, best) else None


def _slower_uplink(scenario: Scenario, limits: Limits, drops: Drops) -> Advice | None:
    rate = paying_uplink(scenario, limits, drops)
    if rate is None or math.isinf(rate):
        return None
    return Advice("uplink", rate, f"an uplink below {rate_text(rate)}")


def _fewer_bits(scenario: Scenario, limits: Limits, drops: Drops) -> Advice | None:
    if 4 in scenario.bits:
        return None
    best = _best(replace(scenario, bits=(4,)), limits, drops)
    if best is None:
        return None
    return Advice("bits", 4, f"4 bits at separation point {best.cut.split} ({_reduction(best)})")


def _no_replay(scenario: Scenario, limits: Limits, drops: Drops) -> Advice | None:
    if scenario.replay == 0:
        return None
    best = _best(replace(scenario, replay=0), limits, drops)
    if best is None:
        return None
    text = f"no replay in the cloud, at {_place(best)} ({_reduction(best)})"
    return Advice("replay", 0, text)


def _forbidden_point(outlook: Outlook, limits: Limits, drops: Drops) -> Advice | None:
    forbidden = [
        one for one in outlook.points if pays(outlook, one) and missed_limits(one, limits, drops)
    ]
    if not forbidden:
        return None
    best = fastest(forbidden)
    missed = "; ".join(map(str, missed_limits(best, limits, drops)))
    text = f"{_place(best)} ({_reduction(best)}), which the limits forbid ({missed})"
    return Advice("limit", best.cut.split, text)


def _bottleneck(outlook: Outlook, allowed: Sequence[Prediction]) -> Advice | None:
    """Find the widest bottleneck that makes the link fast enough; the rest is taken as it is."""
    most = outlook.full_cloud.pipeline_s
    found = []
    for one in allowed:
        busy = _busy(one)
        link = busy.pop("link")
        if max(busy.values()) < most <= link:
            channels = math.ceil(one.cut.feature_shape[0] * most / link) - 1
            if channels >= 1:
                found.append((channels / one.cut.feature_shape[0], channels, one))
    if not found:
        return None
    _, channels, one = max(found, key=lambda row: (row[0], -row[2].cut.split))
    text = (
        f"a bottleneck of at most {channels} of {one.cut.feature_shape[0]} channels at "
        f"{_place(one)}, its own operations not counted"
    )
    return Advice("bottleneck", channels, text)


def _faster_edge(outlook: Outlook, allowed: Sequence[Prediction]) -> Advice | None:
    # A faster device prepares images faster for the full cloud, too.
    full = outlook.full_cloud
    most = max(full.transfer_s, full.cloud_s)
    return _faster("edge", "a device", allowed, most)


def _faster_cloud(outlook: Outlook, allowed: Sequence[Prediction]) -> Advice | None:
    # The full cloud's own step becomes faster as well: what is left is what holds it back.
    full = outlook.full_cloud
    most = max(full.prepare_s, full.transfer_s)
    return _faster("cloud", "a cloud", allowed, most)


def _faster(kind: str, what: str, allowed: Sequence[Prediction], most: float) -> Advice | None:
    """Find the least speed-up of one part after which every part takes less than `most`."""
    found = []
    for one in allowed:
        busy = _busy(one)
        own = busy.pop(kind)
        if own >= most > max(busy.values()):
            found.append((own / most, one))
    if not found:
        return None
    factor, one = min(found, key=lambda row: (row[0], row[1].feature_bytes))
    return Advice(kind, factor, f"{what} more than {factor:.2f} times as fast, at {_place(one)}")


def _busy(prediction: Prediction) -> dict[str, float]:
    times = prediction.hierarchical
    return {"edge": times.edge.busy_s, "link": times.link.busy_s, "cloud": times.cloud.busy_s}


def _place(prediction: Prediction) -> str:
    return f"separation point {prediction.cut.split} at {prediction.bits} bits"


def _reduction(prediction: Prediction) -> str:
    return f"reduction {prediction.reduction_percent:.1f} %"
