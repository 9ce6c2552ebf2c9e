"""One thing that was looked at."""

from collections.abc import Callable

from hiertk_protocol.errors import HiertkError
from pydantic import BaseModel, ConfigDict


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
