"""Where the values of a configuration come from, and saying so when one of them is wrong."""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.secret_files import credential_path
from hiertk_protocol.toml_file import read_toml

DEFAULT_FILE = Path("/etc/hiertk/cloud.toml")
_DELIMITER = "__"
_CREDENTIALS = (
    ("broker", "ca"),
    ("broker", "certificate"),
    ("broker", "key"),
    ("broker", "password_file"),
    ("api", "token_file"),
    ("signing", "public_key"),
)
_SECRET_WORDS = ("password", "passwd", "passphrase", "secret", "token", "private_key")

Values = dict[str, Any]
Place = tuple[str, ...]


@dataclass(frozen=True)
class Sources:
    """The values of each source, and the variables that the model does not know."""

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
        for section, key in _CREDENTIALS:
            table = merged.get(section)
            name = table.get(key) if isinstance(table, dict) else None
            if isinstance(table, dict) and name and isinstance(name, str | Path):
                table[key] = credential_path(Path(name), self.folder)
        return merged

    def origin(self, place: Place) -> str:
        """Say where the value at a place was set."""
        dotted = _shown(place)
        if _has(self.options, place):
            return f"command line: {dotted}"
        if _has(self.environment, place):
            return self.variable(place)
        return f"{self.file_name}: {dotted}"

    def variable(self, place: Place) -> str:
        """Return the variable that sets a place: of the key itself, or of a table as JSON."""
        names = [
            (self.prefix + _DELIMITER.join(place[:length])).upper()
            for length in range(len(place), 0, -1)
        ]
        there = {name.upper() for name in os.environ}
        return next((name for name in names if name in there), names[0])


def read_sources(
    model: type[BaseSettings], path: Path | None, options: Mapping[str, Any]
) -> Sources:
    """Read the file and the environment. Raises ConfigError."""
    prefix = str(model.model_config.get("env_prefix", ""))
    file = path or DEFAULT_FILE
    is_there = path is not None or file.exists()
    state, _, _ = os.environ.get("STATE_DIRECTORY", "").partition(":")
    try:
        environment = EnvSettingsSource(model)()
    except SettingsError as error:
        raise ConfigError(
            f"environment: {error}: set the keys one by one, such as {prefix}BROKER__URL"
        ) from None  # its cause repeats the value
    return Sources(
        file_name=str(file),
        prefix=prefix,
        options=dict(options),
        environment=environment,
        file=_read_file(file) if is_there else {},
        defaults={"broker": {}} | ({"state": state} if state else {}),
        unknown_variables=tuple(_unknown_variables(model, prefix)),
        folder=file.parent / "credentials" if is_there else None,
    )


def problems_of(model: type[BaseSettings], sources: Sources) -> list[str]:
    """Return a line for every value that is wrong, missing, or not known."""
    keys = list(keys_of(model))
    problems = [_unknown_variable(name, sources.prefix, keys) for name in sources.unknown_variables]
    try:
        model(**sources.merged)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        problems += [_problem(detail, sources, keys) for detail in details]
    return problems


def _read_file(path: Path) -> Values:
    return read_toml(
        path,
        what="a configuration of hiertk-cloud",
        if_missing="hiertk-cloud install makes one",
        if_wrong="correct it there",
    )


def _problem(detail: ErrorDetails, sources: Sources, keys: list[Place]) -> str:
    place = tuple(str(part) for part in detail["loc"])
    dotted = _shown(place)
    if detail["type"] == "missing":
        table = f" under [{place[0]}]" if place[1:] else ""
        return (
            f"{dotted} is not set: write {place[-1]} = ...{table} in {sources.file_name}, "
            f"or set {sources.variable(place)}"
        )
    if detail["type"] == "extra_forbidden":
        return f"{sources.origin(place)}: {_advice(place, keys)}"
    if detail["type"] in {"model_type", "model_attributes_type"}:
        return f"{sources.origin(place)}: should be a table: write [{dotted}] and its keys below"
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{sources.origin(place)}: {text}"


def _advice(place: Place, keys: list[Place]) -> str:
    """Say what may be meant by a key that is not known."""
    if any(word in place[-1].lower() for word in _SECRET_WORDS):
        return (
            "a secret cannot stand here, where others may read it: write it into a file of mode "
            "600 and name that one (broker.password_file, api.token_file)"
        )
    dotted = [".".join(key) for key in keys]
    same = [name for name, key in zip(dotted, keys, strict=True) if key[-1] == place[-1]]
    tables = sorted({key[0] for key in keys if key[1:]})
    near = same or difflib.get_close_matches(".".join(place), dotted + tables, n=1)
    return f"is not known; is {near[0]} meant?" if near else "is not known: remove it"


def _unknown_variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name in sorted(os.environ):
        if name.upper().startswith(prefix):
            first, _, _ = name[len(prefix) :].lower().partition(_DELIMITER)
            if first not in model.model_fields:
                yield name


def _unknown_variable(name: str, prefix: str, keys: list[Place]) -> str:
    place = tuple(name[len(prefix) :].lower().split(_DELIMITER))
    near = difflib.get_close_matches("__".join(place), ["__".join(key) for key in keys], n=1)
    is_secret = any(word in place[-1] for word in _SECRET_WORDS)
    if near and not is_secret:
        return f"{name} is not known; is {prefix}{near[0].upper()} meant?"
    return f"{name}: {_advice(place, keys)}"


def keys_of(model: type[BaseModel], above: Place = ()) -> Iterator[Place]:
    """Yield the path of every key."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys_of(inner, (*above, name))
        else:
            yield (*above, name)


def _laid_over(below: Values, above: Values) -> Values:
    """Return `below` with the values of `above`, table by table."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        result[key] = _laid_over(under or {}, value) if both else value
    return {key: dict(value) if isinstance(value, dict) else value for key, value in result.items()}


def _shown(place: Place) -> str:
    """Return a dotted key that fits into one line, whatever somebody wrote."""
    return "".join(char if char.isprintable() else "?" for char in ".".join(place))[:120]


def _has(values: object, place: Place) -> bool:
    for key in place:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True
