"""What people write on the command line, as numbers: rates, times, sizes, counts and shares."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hiertk_protocol.errors import ConfigError

_BITS_PER_S = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BYTES = {
    "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30,
}  # fmt: skip
_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6}
_SHARES = {"": 1.0, "%": 0.01}

_SPELLED = {"b": "B", "kb": "kB", "mb": "MB", "gb": "GB", "kib": "KiB", "mib": "MiB", "gib": "GiB"}

_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?) *([A-Za-z%/]*)")
_SHOWN = 40
_LARGEST = 1e18


@dataclass(frozen=True)
class _Written:
    """What a flag was given: a number and a unit in lower case."""

    flag: str
    text: str
    example: str
    number: float
    unit: str

    def error(self, problem: str) -> ConfigError:
        """Return the one line that says what is wrong."""
        return ConfigError(
            f"{self.flag} {self.text!r}: {problem}: write e.g. {self.flag} {self.example}"
        )


def parse_rate(flag: str, text: str) -> float:
    """Read bits per second: bit, kbit, mbit or gbit, also with /s or ps. Raises ConfigError.

    "mbps" is refused: some programs mean megabytes by it.
    """
    written = _read(flag, text, "1.1mbit")
    bare = written.unit.removesuffix("/s").removesuffix("ps")
    return _value(replace(written, unit=bare), _BITS_PER_S)


def parse_time(flag: str, text: str, *, zero: bool = False) -> float:
    """Read seconds: us, ms or s. zero: whether 0 is a time. Raises ConfigError."""
    return _value(_read(flag, text, "60ms"), _SECONDS, zero=zero)


def parse_size(flag: str, text: str) -> int:
    """Read bytes: B, kB, MB, GB (powers of 1000), KiB, MiB, GiB (of 1024). Raises ConfigError."""
    written = _read(flag, text, "64MB")
    return _whole(written, _value(written, _BYTES))


def parse_count(flag: str, text: str) -> int:
    """Read a count: a whole number, or one with k or M. Raises ConfigError."""
    written = _read(flag, text, "2M")
    return _whole(written, _value(written, _COUNTS))


def parse_share(flag: str, text: str) -> float:
    """Read a share of one, at most 1: 1% or 0.01. Raises ConfigError."""
    written = _read(flag, text, "1%")
    share = _value(written, _SHARES)
    if share > 1:
        raise written.error("more than 100 %")
    return share


def _read(flag: str, text: str, example: str) -> _Written:
    shown = text[:_SHOWN]
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        unread = _Written(flag, shown, example, math.nan, "")
        raise unread.error("not a number and a unit")
    return _Written(flag, shown, example, float(found[1]), found[2].lower())


def _value(written: _Written, units: Mapping[str, float], *, zero: bool = False) -> float:
    if written.unit not in units:
        known = ", ".join(_SPELLED.get(name, name) for name in units if name)
        problem = f"the unit {written.unit!r} is not known" if written.unit else "no unit"
        raise written.error(f"{problem}, the units are {known}")
    value = written.number * units[written.unit]
    if not math.isfinite(value) or value > _LARGEST:
        raise written.error("too large")
    if value < 0 or (value == 0 and not zero):
        raise written.error("must not be negative" if zero else "must be more than zero")
    return value


def _whole(written: _Written, value: float) -> int:
    rounded = round(value)
    if rounded < 1 or abs(value - rounded) > 1e-6 * value:
        raise written.error("not a whole number")
    return rounded
