"""Reading TOML that somebody else wrote: bounded, and every error one line."""

import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hiertk_protocol.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_TOML_BYTES = 1 << 20
# tomllib's time grows with the square of a dotted key's parts: 10,000 of them take over a second.
_MAX_DOTS_IN_A_LINE = 256


def read_toml(
    path: Path, *, what: str, if_missing: str, if_wrong: str, flag: str = ""
) -> dict[str, Any]:
    """Read a file of at most 1 MiB.

    what: the kind of file, with its article. if_missing, if_wrong: what to do. flag: the option
    that named it. Raises ConfigError.
    """
    name = f"{flag} {path}".lstrip()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TOML_BYTES + 1)
        if len(data) > MAX_TOML_BYTES:
            raise ConfigError(f"{name}: more than {MAX_TOML_BYTES} bytes: not {what}")
        if max(line.count(b".") for line in data.split(b"\n")) > _MAX_DOTS_IN_A_LINE:
            raise ConfigError(
                f"{name}: more than {_MAX_DOTS_IN_A_LINE} dots in a line: not {what}: {if_wrong}"
            )
        content: dict[str, Any] = tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}: {if_missing}") from error
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, or brackets in brackets
        raise ConfigError(f"{name}: not TOML: {error}: {if_wrong}") from error
    return content


def first_problem(error: ValidationError) -> str:
    """Say which field of a record is wrong, and why."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
