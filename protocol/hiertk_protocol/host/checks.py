"""One thing that was looked at, and the table of all of them."""

import json
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict

from hiertk_protocol.errors import HiertkError


class Check(BaseModel):
    """What was looked at, whether it will do, and what was found or what to do."""

    model_config = ConfigDict(frozen=True)

    what: str
    ok: bool
    text: str


def attempt(what: str, look: Callable[[], str]) -> Check:
    """Look at something; what it raises of the error tree is what is wrong with it."""
    try:
        return Check(what=what, ok=True, text=look())
    except HiertkError as error:
        return Check(what=what, ok=False, text=str(error))


def print_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print a table for people, or JSON."""
    if as_json:
        print(json.dumps([one.model_dump() for one in checks]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("what", "", "found, or what to do")
    for one in checks:
        table.add_row(one.what, "ok" if one.ok else "WRONG", Text(one.text))
    Console().print(table)
