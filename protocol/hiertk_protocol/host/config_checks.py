"""Looking at a configuration: what is wrong with it, and what of it can be used all the same."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from hiertk_protocol.host.checks import Check, attempt
from hiertk_protocol.host.config_sources import Sources
from hiertk_protocol.host.configuration import problems_of

_Section = TypeVar("_Section", bound=BaseModel)


def check_values(model: type[BaseModel], sources: Sources) -> list[Check]:
    """Return a check for every value that is wrong; if none is, one that names the file."""
    problems = problems_of(model, sources)
    if not problems:
        return [Check(what="configuration", ok=True, text=sources.file_name)]
    return [Check(what="configuration", ok=False, text=problem) for problem in problems]


def section_of(sources: Sources, name: str, kind: type[_Section]) -> _Section | None:
    """Return a table; None if something in it is wrong."""
    try:
        return kind.model_validate(sources.merged.get(name, {}))
    except ValidationError:
        return None


def path_of(value: object) -> Path | None:
    """Return a value as a path; None if it is none."""
    try:
        return TypeAdapter(Path).validate_python(value) if value else None
    except ValidationError:
        return None


def check_secret(what: str, path: Path, read: Callable[[], object]) -> Check:
    """Say whether a secret can be read, and nothing of it."""

    def look() -> str:
        read()
        return str(path)

    return attempt(what, look)
