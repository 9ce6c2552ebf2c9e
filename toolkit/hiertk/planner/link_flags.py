"""The link as the command line gives it, for `hiertk plan` and `hiertk export --split auto`."""

from hiertk_protocol.errors import ConfigError

from hiertk.planner.runtime_model import Link
from hiertk.planner.units import parse_rate, parse_share, parse_time


def read_link(
    uplink: str, *, downlink: str = "", rtt: str = "60ms", efficiency: str = "95%"
) -> Link:
    """Read rates, round trip and efficiency; without a downlink it is as fast as the uplink.

    Raises ConfigError, naming the flag.
    """
    if not uplink:
        raise ConfigError("--uplink is missing: give the link's rate, e.g. --uplink 1.1mbit")
    up = parse_rate("--uplink", uplink)
    return Link(
        up_bits_per_s=up,
        down_bits_per_s=parse_rate("--downlink", downlink) if downlink else up,
        round_trip_s=parse_time("--rtt", rtt, zero=True),
        efficiency=parse_share("--efficiency", efficiency),
    )
