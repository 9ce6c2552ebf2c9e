"""What goes to the process that measures one cut, and what comes back; both as JSON."""

from pathlib import Path
from typing import Annotated

from hiertk_protocol.profile import EdgePoint
from pydantic import BaseModel, ConfigDict, Field


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PointSettings(_Record):
    """One cut. folder: to work in, empty; who starts the process removes it."""

    bundle: Path
    folder: Path
    data: str | None
    batch_size: int
    threads: int
    seconds: float


class MeasuredPoint(_Record):
    """One cut's measurement. prepare_ms: reading and preprocessing one image.

    point: None if its features cannot be sent at any number of bits. refusals: why not.
    """

    point: EdgePoint | None
    prepare_ms: Annotated[float, Field(ge=0)]
    refusals: tuple[str, ...]
