from collections.abc import Callable

import pytest
from hiertk.planner.link_flags import read_link
from hiertk.planner.units import parse_count, parse_rate, parse_share, parse_size, parse_time
from hiertk_protocol.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

Parser = Callable[[str, str], float]
PARSERS: list[Parser] = [parse_rate, parse_time, parse_size, parse_count, parse_share]


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_rate, "1.1mbit", 1.1e6),
        (parse_rate, "1.1Mbit/s", 1.1e6),
        (parse_rate, "600 kbitps", 6e5),
        (parse_rate, "9600bit", 9600),
        (parse_rate, "1GBIT", 1e9),
        (parse_time, "60ms", 0.06),
        (parse_time, "1.5s", 1.5),
        (parse_time, "20us", 2e-5),
        (parse_size, "64MB", 64_000_000),
        (parse_size, "64MiB", 64 << 20),
        (parse_size, "1.5kB", 1500),
        (parse_size, "1 B", 1),
        (parse_count, "2M", 2_000_000),
        (parse_count, "11.2k", 11_200),
        (parse_count, "37", 37),
        (parse_share, "1%", 0.01),
        (parse_share, "0.01", 0.01),
        (parse_share, "100%", 1),
    ],
)
def test_reads_what_people_write(parse: Parser, text: str, value: float) -> None:
    assert parse("--x", text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("parse", "text", "problem"),
    [
        (parse_rate, "-1mbit", "more than zero"),
        (parse_rate, "0mbit", "more than zero"),
        (parse_rate, "", "not a number"),
        (parse_rate, "fast", "not a number"),
        (parse_rate, "1.1", "no unit, the units are bit, kbit, mbit, gbit"),
        (parse_rate, "5mbps", "'mb' is not known"),
        (parse_rate, "5MB", "'mb' is not known"),
        (parse_rate, "1e400gbit", "too large"),
        (parse_rate, "nan", "not a number"),
        (parse_rate, "inf", "not a number"),
        (parse_rate, "1 1mbit", "not a number"),
        (parse_time, "60", "no unit"),
        (parse_time, "0ms", "more than zero"),
        (parse_size, "64", "no unit"),
        (parse_size, "0.5B", "not a whole number"),
        (parse_count, "1.5", "not a whole number"),
        (parse_count, "2x", "'x' is not known"),
        (parse_share, "101%", "more than 100 %"),
        (parse_share, "2", "more than 100 %"),
    ],
)
def test_refuses_the_rest_in_one_line_with_flag_and_example(
    parse: Parser, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("--flag", text)
    line = str(caught.value)
    assert line.startswith(f"--flag {text!r}: ")
    assert problem in line
    assert "write e.g. --flag " in line
    assert "\n" not in line


@given(
    parse=st.sampled_from(PARSERS),
    text=st.text(max_size=20) | st.from_regex(r"-?[0-9]{0,6}(\.[0-9]*)? ?[a-zA-Z%/]{0,6}"),
)
def test_any_text_gives_a_positive_number_or_one_line(parse: Parser, text: str) -> None:
    line = ""
    try:
        assert 0 < parse("--x", text) <= 1e18
    except ConfigError as error:
        line = str(error)
    assert len(line.splitlines()) <= 1


@given(rate=st.floats(1e-3, 1e6), unit=st.sampled_from(["bit", "kbit", "mbit", "gbit"]))
def test_a_rate_reads_as_the_same_in_the_next_smaller_unit(rate: float, unit: str) -> None:
    smaller = {"gbit": "mbit", "mbit": "kbit", "kbit": "bit"}.get(unit)
    if smaller:
        same = parse_rate("--x", f"{rate * 1000!r}{smaller}")
        assert parse_rate("--x", f"{rate!r}{unit}") == pytest.approx(same)


def test_a_link_without_a_downlink_is_as_fast_both_ways() -> None:
    link = read_link("5.85mbit", rtt="0ms")
    assert (link.up_bits_per_s, link.down_bits_per_s, link.round_trip_s) == (5.85e6, 5.85e6, 0)
    assert read_link("5mbit", downlink="20mbit").down_bits_per_s == 20e6


def test_a_missing_or_wrong_part_of_the_link_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^--uplink is missing"):
        read_link("")
    with pytest.raises(ConfigError, match=r"^--downlink '1'"):
        read_link("1mbit", downlink="1")
    with pytest.raises(ConfigError, match=r"^--rtt '-1ms'.*not be negative"):
        read_link("1mbit", rtt="-1ms")
    with pytest.raises(ConfigError, match=r"^--efficiency '0'"):
        read_link("1mbit", efficiency="0")
