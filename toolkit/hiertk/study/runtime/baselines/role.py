"""What a process of a baseline is told, as JSON on its command line."""

from pathlib import Path
from typing import Literal

from hiertk_protocol.manifest import InputInfo
from pydantic import BaseModel, ConfigDict, Field

from hiertk.study.precision import Precision

Payload = Literal["raw", "png", "jpeg", "fp32", "fp16"]


class Role(BaseModel):
    """One side of one cell.

    payload: what the device sends: raw pixels each epoch, PNG or JPEG once, or features, for which
    gradients of the same type come back. split: of the last two. batches: of an epoch. cache:
    where decoded images are kept, as an agent does. snapshots: where weights are kept every so
    many steps; None: nowhere. weights: what an edge partition begins with. precision: of the
    cloud's training steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    broker: str
    payload: Payload
    model: str
    classes: tuple[str, ...]
    input: InputInfo
    split: int | None = None
    batch_size: int = Field(ge=2, le=4096)
    batches: int = Field(ge=1)
    epochs: int = Field(ge=1)
    rate: float = Field(gt=0)
    precision: Precision = "float32"
    seed: int = Field(default=0, ge=0)
    images: Path | None = None
    cache: Path | None = None
    weights: Path | None = None
    snapshots: Path | None = None
    every: int = Field(default=1, ge=1)

    @property
    def is_split(self) -> bool:
        """Whether gradients come back."""
        return self.payload in {"fp32", "fp16"}

    @property
    def sends_once(self) -> bool:
        """Whether each image crosses the link once."""
        return self.payload in {"png", "jpeg"}
