"""The state of a step program: the names of its tensors, and their values in files.

The program itself holds nothing: what it trains, moves and reads is handed to it at every step.
"""

from pathlib import Path
from typing import Annotated

from hiertk_protocol.errors import BundleError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, float32

STATE = "edge/state.json"
PARAMETERS = "edge/params.safetensors"
_MAX_JSON_BYTES = 1 << 22
_MAX_TENSORS = 1 << 14

_Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=300)], ...], Field(max_length=_MAX_TENSORS)
]

Tensors = dict[str, Tensor]


class ProgramState(BaseModel):
    """Names of tensors, in the order in which a program takes them.

    parameters: trained. statistics: running statistics that a training step moves. constants: what
    it only reads. All are float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: _Names
    statistics: _Names
    constants: _Names

    @model_validator(mode="after")
    def _names_differ(self) -> "ProgramState":
        if len(set(self.names)) != len(self.names):
            raise ValueError("a name is there twice")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the program's order."""
        return (*self.parameters, *self.statistics, *self.constants)


def write_state(state: ProgramState, tensors: Tensors, folder: Path) -> None:
    """Write state.json and params.safetensors of a bundle in the making."""
    (folder / STATE).write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
    values = {name: tensors[name].detach().contiguous() for name in state.names}
    save_file(values, folder / PARAMETERS)


def read_names(path: Path) -> ProgramState:
    """Read state.json. Raises BundleError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_JSON_BYTES + 1)
        if len(data) > _MAX_JSON_BYTES:
            raise BundleError(f"{path}: more than {_MAX_JSON_BYTES} bytes: export the bundle again")
        return ProgramState.model_validate_json(data)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}: export the bundle again") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise BundleError(f"{path}: {place}: {first['msg']}: export the bundle again") from error


def read_values(path: Path, state: ProgramState) -> Tensors:
    """Read params.safetensors: all of the state's tensors by name. Raises BundleError."""
    try:
        tensors: Tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise BundleError(f"{path}: {error}: export the bundle again") from error
    odd = sorted(set(tensors) ^ set(state.names))
    if odd:
        raise BundleError(f"{path}: {odd[0]!r} is not in both it and {STATE}: export again")
    for name, value in tensors.items():
        if value.dtype != float32:
            raise BundleError(f"{path}: {name} is {value.dtype}, not float32: export again")
    # In the program's order, and not views of a file that somebody may overwrite.
    return {name: tensors[name].clone() for name in state.names}
