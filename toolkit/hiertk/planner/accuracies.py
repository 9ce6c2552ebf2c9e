"""The user's table of measured accuracies, from which the accuracy drop of a cut is taken."""

from pathlib import Path
from typing import Annotated, Literal

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import Positive
from hiertk_protocol.toml_file import first_problem, read_toml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_EXAMPLE = "full = 0.914, then [[points]] with split, bits and accuracy"

Accuracy = Annotated[float, Field(ge=0, le=1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PointAccuracy(_Record):
    """The final exit's accuracy with the cut at one separation point."""

    split: Positive
    bits: Literal[8, 4]
    accuracy: Accuracy
    bottleneck: Positive | None = None


class Accuracies(_Record):
    """Measured accuracies, shares of one. full: of the network trained whole, uncut."""

    full: Accuracy
    points: Annotated[tuple[PointAccuracy, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _once_each(self) -> "Accuracies":
        keys = [(point.split, point.bits, point.bottleneck) for point in self.points]
        if len(set(keys)) != len(keys):
            raise ValueError("a separation point is given twice at the same bits and bottleneck")
        return self

    def of(self, bottleneck: int | None) -> dict[tuple[int, int], float]:
        """Return accuracy by split and bits, of the cuts with this bottleneck."""
        return {
            (point.split, point.bits): point.accuracy
            for point in self.points
            if point.bottleneck == bottleneck
        }


def read_accuracies(path: Path) -> Accuracies:
    """Read a table. Raises ConfigError, naming the first field that is wrong."""
    remedy = f"write {_EXAMPLE}"
    content = read_toml(
        path, flag="--accuracies", what="a table", if_missing=remedy, if_wrong=remedy
    )
    try:
        return Accuracies.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"--accuracies {path}: {first_problem(error)}: {remedy}") from error
