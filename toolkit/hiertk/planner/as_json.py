"""A plan for programs; docs/planning.md documents every field."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hiertk_protocol.profile import CloudProfile, EdgeProfile

from hiertk.planner.plan import Plan, PlannedPoint
from hiertk.planner.words import export_command


def as_json(plan: Plan) -> dict[str, Any]:
    """Return everything about a plan; times in milliseconds, sizes in bytes."""
    profiles, rate = plan.profiles, plan.pays_below
    return {
        "settings": _settings(plan),
        "link": asdict(plan.settings.link),
        "profiles": {
            "edge": _profile(profiles.edge, profiles.edge_path, profiles.edge_is_shipped),
            "cloud": _profile(profiles.cloud, profiles.cloud_path, profiles.cloud_is_shipped),
        },
        "raw_bytes_per_sample": plan.raw_bytes,
        "full_cloud": _in_ms(asdict(plan.full_cloud)),
        "points": [_point(point) for point in plan.points],
        "chosen": {
            "split": plan.chosen.cut.split,
            "bits": plan.chosen.bits,
            "reduction_percent": plan.chosen.reduction_percent,
            "command": export_command(plan),
        },
        "pays": plan.pays,
        "pays_at_any_uplink": rate is not None and math.isinf(rate),
        "pays_below_bits_per_s": None if rate is None or math.isinf(rate) else rate,
        "raw_once_sends_less_from_epoch": plan.epochs_until_more,
        "advice": [asdict(advice) for advice in plan.advice],
        "warnings": list(plan.warnings),
    }


def _settings(plan: Plan) -> dict[str, Any]:
    settings = asdict(plan.settings)
    del settings["link"]
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in settings.items()
    }


def _profile(
    profile: EdgeProfile | CloudProfile,
    path: Path,
    is_shipped: bool,
) -> dict[str, Any]:
    described = profile.model_dump(
        mode="json", include={"machine", "engine", "network", "images", "measured_on"}
    )
    return {"shipped": is_shipped, "file": path.name if is_shipped else str(path)} | described


def _point(point: PlannedPoint) -> dict[str, Any]:
    one = point.prediction
    times = one.hierarchical
    return {
        "split": one.cut.split,
        "module": one.cut.module,
        "bits": one.bits,
        "feature_shape": list(one.cut.feature_shape),
        "bytes_per_sample": one.feature_bytes,
        "messages_per_batch": one.messages,
        "edge_parameters": one.cut.edge_parameters,
        "cloud_parameters": one.cut.cloud_parameters,
        "peak_memory_bytes": one.peak_memory_bytes,
        "accuracy": point.accuracy,
        "edge": _in_ms(asdict(times.edge) | {"busy_s": times.edge.busy_s}),
        "link": _in_ms(asdict(times.link) | {"busy_s": times.link.busy_s}),
        "cloud": _in_ms(asdict(times.cloud) | {"busy_s": times.cloud.busy_s}),
        "pipeline_ms": 1e3 * times.pipeline_s,
        "alone_ms": 1e3 * times.alone_s,
        "slowest": times.slowest,
        "split_learning": _in_ms(
            asdict(one.split_learning) | {"total_s": one.split_learning.total_s}
        ),
        "reduction_percent": one.reduction_percent,
        "reduction_alone_percent": one.reduction_alone_percent,
        "feasible": not point.why_not,
        "why_not": list(point.why_not),
    }


def _in_ms(times: dict[str, Any]) -> dict[str, Any]:
    """Turn fields in seconds, named so, into milliseconds; leave others."""
    return {
        f"{name[:-2]}_ms" if name.endswith("_s") else name: (
            1e3 * value if name.endswith("_s") else value
        )
        for name, value in times.items()
    }
