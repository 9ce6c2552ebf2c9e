"""What stands behind the question mark of a request's URL."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from hiertk_edge.endpoint.record import RefusedError


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True)


class LabelQuery(_Query):
    """Which class is meant."""

    label: str = Field(min_length=1, max_length=200)


class TopQuery(_Query):
    """How many of the likeliest classes are told."""

    top: int = Field(default=5, ge=1, le=4096)


class TeachQuery(LabelQuery):
    """Which class the next frames are of, and how many of them."""

    frames: int = Field(default=20, ge=1, le=1000)


_Read = TypeVar("_Read", bound=_Query)


def read_query(kind: type[_Read], request: Request) -> _Read:
    """Return what a request's query says; the last of a name counts. Raises RefusedError."""
    try:
        return kind.model_validate(dict(request.query_params))
    except ValidationError as error:
        first = error.errors()[0]
        raise RefusedError(422, f"{first['loc'][-1]}: {first['msg']}") from error
