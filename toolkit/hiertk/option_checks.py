"""Checks of options that several commands take; each names the flag and says what it may be."""

from hiertk_protocol.errors import ConfigError


def check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the choices. Raises ConfigError."""
    if value not in choices:
        raise ConfigError(f"{flag} {value[:40]}: choose from {', '.join(choices)}")


def check_range(flag: str, value: int, low: int, high: int, unit: str) -> None:
    """Refuse a number below `low` or above `high`. Raises ConfigError."""
    if not low <= value <= high:
        raise ConfigError(f"{flag} {value}: from {low} to {high} {unit}")


def check_input_size(value: int) -> None:
    """Refuse an input size that no network is exported for. Raises ConfigError."""
    check_range("--input-size", value, 8, 1024, "pixels")


def check_batch_size(value: int) -> None:
    """Refuse a batch size that no device trains with. Raises ConfigError."""
    check_range("--batch-size", value, 2, 1024, "images")
