"""`hiertk export --split auto`: the planner's separation point and bits."""

from dataclasses import dataclass, replace
from pathlib import Path
from sys import stderr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hiertk.export import ExportSettings


@dataclass(frozen=True)
class AutoSplit:
    """What --split auto goes by."""

    uplink: str | None
    rtt: str
    bits: int | None
    edge_profile: Path | None
    cloud_profile: Path | None


def planned(settings: "ExportSettings", auto: AutoSplit) -> "ExportSettings":
    """Take the planner's separation point and bits."""
    from hiertk.planner.link_flags import read_link
    from hiertk.planner.plan import choose_split
    from hiertk.planner.settings import PlanSettings

    plan = PlanSettings(
        model=settings.model,
        link=read_link(auto.uplink or "", rtt=auto.rtt),
        input_size=settings.input_size,
        stem=settings.stem,
        normalization=settings.normalization,
        bottleneck=settings.bottleneck,
        slots=settings.class_info().capacity,
        backend=settings.chosen_backend,
        batch_size=settings.batch_size,
        bits=auto.bits,
        edge_profile=auto.edge_profile,
        cloud_profile=auto.cloud_profile,
    )
    split, bits = choose_split(plan)
    print(f"The plan for {auto.uplink} takes separation point {split} at {bits} bits.", file=stderr)
    return replace(settings, split=split, bits=bits)
