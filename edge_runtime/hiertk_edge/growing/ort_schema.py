"""The classes that ONNX Runtime's package carries for its own file formats.

They lie in `onnxruntime/tools`, whose `__init__` would import torch where it is installed; and they
import each other by a name that is not on the path. Seen with 1.19.2, the last release.
"""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiertk_protocol.errors import ConfigError

from hiertk_edge.engines.ort_engine import import_engine

IDENTIFIER = b"ODTC"  # of a training checkpoint
_PLACE = Path("tools", "ort_format_model")
_PACKAGE = "ort_flatbuffers_py"


@dataclass(frozen=True)
class OrtSchema:
    """Modules, by the names of their tables; `builder(room)` begins a file."""

    Checkpoint: Any
    ModuleState: Any
    OptimizerGroup: Any
    ParameterOptimizerState: Any
    PropertyBag: Any
    Tensor: Any
    IntProperty: Any
    FloatProperty: Any
    StringProperty: Any
    builder: Any

    def property_kind(self, kind: str) -> Any:
        """Return the module of `Int`, `Float` or `String` properties."""
        return getattr(self, f"{kind}Property")


def open_schema() -> OrtSchema:
    """Import them. Raises ConfigError if the engine or this part of it is missing."""
    runtime, _ = import_engine()
    place = str(Path(runtime.__file__).parent / _PLACE)
    sys.path.insert(0, place)
    try:
        flatbuffers = importlib.import_module("flatbuffers")
        tables = {
            name: _table(name) for name in OrtSchema.__dataclass_fields__ if name != "builder"
        }
    except ImportError as error:
        raise ConfigError(
            f"ONNX Runtime's package is not whole ({error}): "
            "pip install --force-reinstall 'hiertk[edge]'"
        ) from error
    finally:
        sys.path.remove(place)
    return OrtSchema(**tables, builder=flatbuffers.Builder)


def _table(name: str) -> Any:
    return importlib.import_module(f"{_PACKAGE}.fbs.{name}")
