"""What an uplink may take of its link."""

from dataclasses import dataclass, field
from typing import Literal

from hiertk_edge.uplink.window import WindowLimits

BitsSetting = Literal["auto", 8, 4]


@dataclass(frozen=True)
class UplinkLimits:
    """Limits of one uplink.

    bytes_per_s, bytes_per_day: over the wire, 0 for no limit; a day is any 24 hours. bits: of the
    features; "auto" adapts them to the link.
    """

    window: WindowLimits = field(default_factory=WindowLimits)
    status_every_s: float = 1.0
    bytes_per_s: float = 0.0
    bytes_per_day: int = 0
    bits: BitsSetting = "auto"
