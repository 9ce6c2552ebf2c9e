"""Where the values of a configuration come from: file, environment, command line."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hiertk_protocol.host.config_environment import (
    Environment,
    Place,
    Values,
    printable,
    read_environment,
    variable_of,
)
from hiertk_protocol.host.secret_files import credential_path
from hiertk_protocol.toml_file import read_toml


@dataclass(frozen=True)
class Program:
    """Whose configuration it is.

    env_prefix: of its environment variables, in capitals. default_file: read where it is there and
    no other is named. credentials: the keys of files that are looked for among the credentials.
    folder: where those lie beside the configuration; None: in a folder that is called as the
    configuration is, without its suffix.
    """

    name: str
    env_prefix: str
    default_file: Path
    credentials: tuple[Place, ...]
    folder: str | None = None

    def credentials_beside(self, file: Path) -> Path:
        """Return the folder of the credentials of a configuration, outside of systemd."""
        return file.parent / (self.folder or file.stem)


@dataclass(frozen=True)
class Sources:
    """The values of each source."""

    program: Program
    file_name: str
    options: Values
    environment: Environment
    file: Values
    defaults: Values
    folder: Path | None
    """Where the files lie that relative paths name, outside of systemd."""

    @cached_property
    def merged(self) -> Values:
        """The values that hold, with the credentials' paths complete."""
        merged: Values = {}
        for source in (self.defaults, self.file, self.environment.values, self.options):
            merged = _laid_over(merged, source)
        for section, key in self.program.credentials:
            table = merged.get(section)
            name = table.get(key) if isinstance(table, dict) else None
            if isinstance(table, dict) and name and isinstance(name, str | Path):
                table[key] = credential_path(Path(name), self.folder)
        return merged

    def origin(self, place: Place) -> str:
        """Say where the value at a place was set."""
        dotted = shown(place)
        if _has(self.options, place):
            return f"command line: {dotted}"
        if _has(self.environment.values, place):
            return self.variable(place)
        return f"{self.file_name}: {dotted}"

    def variable(self, place: Place) -> str:
        """Return the variable that sets a place: of the key itself, or of a table as JSON."""
        prefix = self.program.env_prefix
        names = [variable_of(prefix, place[:length]) for length in range(len(place), 0, -1)]
        there = {name.upper() for name in os.environ}
        return printable(next((name for name in names if name in there), names[0]))


def read_sources(
    model: type[BaseModel], program: Program, path: Path | None, options: Mapping[str, Any]
) -> Sources:
    """Read the file and the environment. Raises ConfigError."""
    file = path or program.default_file
    is_there = path is not None or file.exists()
    state, _, _ = os.environ.get("STATE_DIRECTORY", "").partition(":")
    return Sources(
        program=program,
        file_name=str(file),
        options=dict(options),
        environment=read_environment(model, program.env_prefix),
        file=_read_file(file, program) if is_there else {},
        defaults={"broker": {}} | ({"state": state} if state else {}),
        folder=program.credentials_beside(file) if is_there else None,
    )


def _read_file(path: Path, program: Program) -> Values:
    return read_toml(
        path,
        what=f"a configuration of {program.name}",
        if_missing=f"{program.name} install makes one",
        if_wrong="correct it there",
    )


def _laid_over(below: Values, above: Values) -> Values:
    """Return `below` with the values of `above`, table by table."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        result[key] = _laid_over(under or {}, value) if both else value
    return {key: dict(value) if isinstance(value, dict) else value for key, value in result.items()}


def shown(place: Place) -> str:
    """Return a dotted key that fits into one line."""
    return printable(".".join(place))


def _has(values: object, place: Place) -> bool:
    for key in place:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True
