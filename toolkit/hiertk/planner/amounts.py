"""Sizes, counts, times and rates as people read them."""


def size_text(size: float) -> str:
    """Return bytes with a unit, powers of 1000."""
    return _with_unit(size, " ", ("B", "kB", "MB", "GB", "TB"))


def count_text(count: float) -> str:
    """Return a count with k or M."""
    return _with_unit(count, "", ("", "k", "M", "G"))


def rate_text(bits_per_s: float) -> str:
    """Return a rate with a unit."""
    return _with_unit(bits_per_s, " ", ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"), digits=4)


def ms_text(seconds: float) -> str:
    """Return milliseconds without a unit, with three digits that count."""
    return _digits(1e3 * seconds)


def _with_unit(value: float, space: str, units: tuple[str, ...], digits: int = 3) -> str:
    index = 0
    while value >= 999.5 and index < len(units) - 1:
        value /= 1000
        index += 1
    return f"{_digits(value, digits)}{space}{units[index]}".rstrip()


def _digits(value: float, digits: int = 3) -> str:
    """Return so many digits that count, but no exponent and no digit before the point lost."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.{digits}g}"
