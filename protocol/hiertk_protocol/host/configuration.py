"""Reading a configuration, and saying all that is wrong with it at once."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.config_environment import (
    DELIMITER,
    Place,
    place_of,
    printable,
    table_of,
)
from hiertk_protocol.host.config_sources import Program, Sources, read_sources, shown

_NO_TABLE = ("model_type", "model_attributes_type")
_NO_LIST = ("list_type", "tuple_type")
_SECRET_WORDS = ("password", "passwd", "passphrase", "secret", "token", "private_key")

Configuration = TypeVar("Configuration", bound=BaseModel)


def load(
    model: type[Configuration], program: Program, path: Path | None, options: Mapping[str, Any]
) -> Configuration:
    """Read and check a configuration.

    options: what the command line says, nested as the file is. Raises ConfigError, whose text has
    a line for each problem.
    """
    sources = read_sources(model, program, path, options)
    problems = problems_of(model, sources)
    if problems:
        head = f"{len(problems)} problems in the configuration:\n  " if problems[1:] else ""
        raise ConfigError(head + "\n  ".join(problems))
    return model(**sources.merged)


def problems_of(model: type[BaseModel], sources: Sources) -> list[str]:
    """Return a line for every value that is wrong, missing, or not known."""
    keys = list(keys_of(model))
    environment = sources.environment
    problems = [_unknown_variable(name, sources, keys) for name in environment.unknown]
    problems += environment.problems
    try:
        model(**sources.merged)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        problems += [_problem(detail, sources, keys) for detail in details]
    return problems


def keys_of(model: type[BaseModel], above: Place = ()) -> Iterator[Place]:
    """Yield the path of every key."""
    for name, field in model.model_fields.items():
        table = table_of(field.annotation)
        if table is None:
            yield (*above, name)
        else:
            yield from keys_of(table, (*above, name))


def _problem(detail: ErrorDetails, sources: Sources, keys: list[Place]) -> str:
    place = tuple(str(part) for part in detail["loc"])
    dotted = shown(place)
    if detail["type"] == "missing":
        table = f" under [{place[0]}]" if place[1:] else ""
        return (
            f"{dotted} is not set: write {place[-1]} = ...{table} in {sources.file_name}, "
            f"or set {sources.variable(place)}"
        )
    if detail["type"] == "extra_forbidden":
        return f"{sources.origin(place)}: {_advice(place, sources.program, keys)}"
    if detail["type"] in _NO_TABLE:
        return f"{sources.origin(place)}: should be a table: write [{dotted}] and its keys below"
    if detail["type"] in _NO_LIST:
        return f'{sources.origin(place)}: should be a list, such as ["...", "..."]'
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{sources.origin(place)}: {text}"


def _advice(place: Place, program: Program, keys: list[Place]) -> str:
    """Say what may be meant by a key that is not known."""
    if any(word in place[-1].lower() for word in _SECRET_WORDS):
        secret_files = (key for key in program.credentials if key[-1].endswith("_file"))
        return (
            "a secret cannot stand here, where others may read it: write it into a file of mode "
            f"600 and name that one ({', '.join('.'.join(key) for key in secret_files)})"
        )
    dotted = [".".join(key) for key in keys]
    same = [name for name, key in zip(dotted, keys, strict=True) if key[-1] == place[-1]]
    tables = sorted({key[0] for key in keys if key[1:]})
    near = same or difflib.get_close_matches(".".join(place), dotted + tables, n=1)
    return f"is not known; is {near[0]} meant?" if near else "is not known: remove it"


def _unknown_variable(name: str, sources: Sources, keys: list[Place]) -> str:
    prefix = sources.program.env_prefix
    place = place_of(name, prefix)
    near = difflib.get_close_matches(
        DELIMITER.join(place), [DELIMITER.join(key) for key in keys], n=1
    )
    is_secret = any(word in place[-1] for word in _SECRET_WORDS)
    if near and not is_secret:
        return f"{printable(name)} is not known; is {prefix}{near[0].upper()} meant?"
    return f"{printable(name)}: {_advice(place, sources.program, keys)}"
