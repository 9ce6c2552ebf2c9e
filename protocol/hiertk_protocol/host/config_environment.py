"""The environment as a source of a configuration: `PREFIX_TABLE__KEY` sets `key` in `[table]`."""

import json
import os
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic import BaseModel

from hiertk_protocol.errors import ConfigError

DELIMITER = "__"

Values = dict[str, Any]
Place = tuple[str, ...]


@dataclass(frozen=True)
class Environment:
    """What the variables of a program say.

    unknown: the variables that the model does not know. problems: a line for each that holds no
    table or list where there should be one.
    """

    values: Values
    unknown: tuple[str, ...]
    problems: tuple[str, ...]


def place_of(variable: str, prefix: str) -> Place:
    """Return the place that a variable sets."""
    return tuple(variable[len(prefix) :].lower().split(DELIMITER))


def variable_of(prefix: str, place: Place) -> str:
    """Return the variable that sets a place."""
    return prefix + DELIMITER.join(place).upper()


def read_environment(model: type[BaseModel], prefix: str) -> Environment:
    """Read the variables of a program: texts, and for tables and lists JSON."""
    values: Values = {}
    unknown: list[str] = []
    problems: list[str] = []
    for name in sorted(os.environ, key=str.upper):  # a table before its keys
        if not name.upper().startswith(prefix):
            continue
        place = place_of(name, prefix)
        kind = _kind(model, place)
        if kind is None:
            unknown.append(name)
            continue
        try:
            _put(values, place, _read(name, kind))
        except ConfigError as error:
            problems.append(str(error))
    return Environment(values, tuple(unknown), tuple(problems))


def _kind(model: type[BaseModel], place: Place) -> object | None:
    """Return the type of a key or a table; None if the model does not know it."""
    kind: object = model
    for key in place:
        table = table_of(kind)
        if table is None or key not in table.model_fields:
            return None
        kind = table.model_fields[key].annotation
    return kind


def table_of(kind: object) -> type[BaseModel] | None:
    """Return a field's type if it is a table."""
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def printable(name: str) -> str:
    """Return a name that fits into one line, whatever somebody wrote."""
    return "".join(char if char.isprintable() else "?" for char in name[:120])


def _read(variable: str, kind: object) -> object:
    text = os.environ[variable]
    if table_of(kind) is not None:
        keys = f"{variable}{DELIMITER}KEY"
        return _json(variable, text, dict, f"a table; set its keys one by one, as {keys}")
    if get_origin(kind) in (list, tuple):
        return _json(variable, text, list, 'a list in JSON, such as ["...", "..."]')
    return text


def _json(variable: str, text: str, wanted: type, what: str) -> object:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, wanted):
        raise ConfigError(f"{variable}: should be {what}")  # what it is instead may be a secret
    return value


def _put(values: Values, place: Place, value: object) -> None:
    *tables, key = place
    for name in tables:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):  # the model refuses what stands in a table's place
            return
    values[key] = value
