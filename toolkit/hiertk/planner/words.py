"""A plan in plain words: the choice, whether it pays, and what would make it pay."""

import math
import shlex
from pathlib import Path

from hiertk_protocol.profile import CloudProfile, EdgeProfile

from hiertk.planner.amounts import ms_text, rate_text
from hiertk.planner.plan import Plan

_EXPORT_DEFAULTS = {
    "--input-size": 32,
    "--batch-size": 32,
    "--stem": "torchvision",
    "--normalization": "batch",
    "--bottleneck": None,
    "--class-capacity": 16,
    "--backend": "onnxruntime",
}
_DEFAULT_CLASSES = 10  # of hiertk export


def sources(plan: Plan) -> list[str]:
    """Say which profiles a plan rests on."""
    profiles = plan.profiles
    return [
        _source("edge", profiles.edge, profiles.edge_path, is_shipped=profiles.edge_is_shipped),
        _source("cloud", profiles.cloud, profiles.cloud_path, is_shipped=profiles.cloud_is_shipped),
    ]


def link_text(plan: Plan) -> str:
    """Say what the link is."""
    link = plan.settings.link
    return (
        f"{rate_text(link.up_bits_per_s)} up, {rate_text(link.down_bits_per_s)} down, "
        f"round trip {ms_text(link.round_trip_s)} ms"
    )


def summary(plan: Plan) -> list[str]:
    """Say what is chosen, whether it pays, and what would make it pay."""
    return [_choice(plan), *_verdict(plan), _once(plan)]


def export_command(plan: Plan) -> str:
    """Return the command line that exports the plan's choice."""
    settings, chosen = plan.settings, plan.chosen
    words = ["hiertk", "export", "--model", settings.model, "--split", str(chosen.cut.split)]
    words += ["--bits", str(chosen.bits), "--target", "linux"]
    values = {
        "--input-size": settings.input_size,
        "--batch-size": settings.batch_size,
        "--stem": settings.stem,
        "--normalization": settings.normalization,
        "--bottleneck": settings.bottleneck,
        "--class-capacity": settings.slots,
        "--backend": settings.backend,
    }
    for flag, value in values.items():
        if value != _EXPORT_DEFAULTS[flag]:
            words += [flag, str(value)]
    if settings.slots < _DEFAULT_CLASSES:
        words += ["--classes", str(settings.slots)]
    return shlex.join(words)


def _source(role: str, profile: EdgeProfile | CloudProfile, path: Path, *, is_shipped: bool) -> str:
    machine, engine = profile.machine, profile.engine
    place = f"shipped {path.name}, not your machine's" if is_shipped else str(path)
    threads = "1 thread" if engine.threads == 1 else f"{engine.threads} threads"
    return (
        f"{role} profile: {place}: {machine.processor}, {machine.cores} cores, {machine.system}; "
        f"{engine.backend} {engine.version}, {threads}; measured {profile.measured_on} "
        f"on {profile.images}"
    )


def _choice(plan: Plan) -> str:
    chosen, times = plan.chosen, plan.chosen.hierarchical
    return (
        f"Choice: separation point {chosen.cut.split} of {plan.profiles.edge.network.split_count} "
        f"(after {chosen.cut.module}) at {chosen.bits} bits: {ms_text(times.pipeline_s)} ms per "
        f"batch of {plan.settings.batch_size}, set by the {times.slowest}. Take it with:\n"
        f"  {export_command(plan)}"
    )


def _verdict(plan: Plan) -> list[str]:
    percent = abs(plan.chosen.reduction_percent)
    full = f"full cloud ({ms_text(plan.full_cloud.pipeline_s)} ms), both in a pipeline"
    if plan.pays:
        less = f"Hierarchical training pays: {percent:.1f} % less time per batch than {full}."
        return [f"{less} It pays {_where(plan.pays_below)}."]
    more = f"Hierarchical training does not pay: {percent:.1f} % more time per batch than {full}."
    if not plan.advice:
        return [f"{more} No single change that the model knows would make it pay."]
    advice = [f"  - {advice.text}" for advice in plan.advice]
    return [f"{more} Each of these alone would make it pay:", *advice]


def _where(pays_below: float | None) -> str:
    if pays_below is None or math.isinf(pays_below):
        return "at any uplink rate"
    return f"with an uplink below {rate_text(pays_below)}"


def _once(plan: Plan) -> str:
    return (
        "Compared per batch of fresh images, as in online learning: a full-cloud trainer that "
        "uploads each raw image once and keeps it has sent less from epoch "
        f"{plan.epochs_until_more} on."
    )
