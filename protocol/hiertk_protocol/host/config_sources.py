"""Where the values of a configuration come from: file, environment, command line."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.secret_files import credential_path
from hiertk_protocol.toml_file import read_toml

DELIMITER = "__"

Values = dict[str, Any]
Place = tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """Whose configuration it is.

    default_file: read where it is there and no other is named. credentials: the keys of files that
    are looked for among the credentials. folder: where those lie beside the configuration; None:
    in a folder that is called as the configuration is, without its suffix.
    """

    name: str
    default_file: Path
    credentials: tuple[Place, ...]
    folder: str | None = None

    def credentials_beside(self, file: Path) -> Path:
        """Return the folder of the credentials of a configuration, outside of systemd."""
        return file.parent / (self.folder or file.stem)


@dataclass(frozen=True)
class Sources:
    """The values of each source, and the variables that the model does not know."""

    program: Program
    file_name: str
    prefix: str
    options: Values
    environment: Values
    file: Values
    defaults: Values
    unknown_variables: tuple[str, ...]
    folder: Path | None
    """Where the files lie that relative paths name, outside of systemd."""

    @cached_property
    def merged(self) -> Values:
        """The values that hold, with the credentials' paths complete."""
        merged: Values = {}
        for source in (self.defaults, self.file, self.environment, self.options):
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
        if _has(self.environment, place):
            return self.variable(place)
        return f"{self.file_name}: {dotted}"

    def variable(self, place: Place) -> str:
        """Return the variable that sets a place: of the key itself, or of a table as JSON."""
        names = [
            (self.prefix + DELIMITER.join(place[:length])).upper()
            for length in range(len(place), 0, -1)
        ]
        there = {name.upper() for name in os.environ}
        return next((name for name in names if name in there), names[0])


def read_sources(
    model: type[BaseSettings], program: Program, path: Path | None, options: Mapping[str, Any]
) -> Sources:
    """Read the file and the environment. Raises ConfigError."""
    prefix = str(model.model_config.get("env_prefix", ""))
    file = path or program.default_file
    is_there = path is not None or file.exists()
    state, _, _ = os.environ.get("STATE_DIRECTORY", "").partition(":")
    try:
        environment = EnvSettingsSource(model)()
    except SettingsError as error:
        raise ConfigError(
            f"environment: {error}: set the keys one by one, such as {prefix}BROKER__URL"
        ) from None  # its cause repeats the value
    return Sources(
        program=program,
        file_name=str(file),
        prefix=prefix,
        options=dict(options),
        environment=environment,
        file=_read_file(file, program) if is_there else {},
        defaults={"broker": {}} | ({"state": state} if state else {}),
        unknown_variables=tuple(_unknown_variables(model, prefix)),
        folder=program.credentials_beside(file) if is_there else None,
    )


def _read_file(path: Path, program: Program) -> Values:
    return read_toml(
        path,
        what=f"a configuration of {program.name}",
        if_missing=f"{program.name} install makes one",
        if_wrong="correct it there",
    )


def _unknown_variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name in sorted(os.environ):
        if name.upper().startswith(prefix):
            first, _, _ = name[len(prefix) :].lower().partition(DELIMITER)
            if first not in model.model_fields:
                yield name


def _laid_over(below: Values, above: Values) -> Values:
    """Return `below` with the values of `above`, table by table."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        result[key] = _laid_over(under or {}, value) if both else value
    return {key: dict(value) if isinstance(value, dict) else value for key, value in result.items()}


def shown(place: Place) -> str:
    """Return a dotted key that fits into one line, whatever somebody wrote."""
    return "".join(char if char.isprintable() else "?" for char in ".".join(place))[:120]


def _has(values: object, place: Place) -> bool:
    for key in place:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True
