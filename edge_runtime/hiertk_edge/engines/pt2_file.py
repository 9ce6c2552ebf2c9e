"""Reading the graph of a .pt2 file, PyTorch's format of exported programs, and nothing else of it.

torch.export.load (looked at in 2.15) is not for files of others: it unpickles members with
weights_only=False when the careful way fails, evaluates symbolic shapes with sympy's eval, and
calls whatever a graph names below `torch.`. It also imports the compiler: 2.4 seconds and 175 MB.
So only `models/model.json` is read here, as JSON of bounded size; a node may call what
`aten_operators` lists, with numbers, types, lists and earlier results as arguments. Pickled members
and symbolic expressions are not looked at. What is left to PyTorch's own kernels is to refuse
operands that do not fit: a bundle is still something to take from its author only.
"""

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hiertk_protocol.errors import BundleError

from hiertk_edge.engines.aten_operators import OPERATORS

SCHEMA_MAJOR = 8
_GRAPH = "/models/model.json"
_MAX_BYTES = 16 << 20
_TYPES = {5: torch.int64, 7: torch.float32, 12: torch.bool}
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    4: torch.preserve_format,
}
_LAYOUTS = {7: torch.strided}
# All that zipfile was seen or is documented to raise for a file that it does not like.
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
)


@dataclass(frozen=True)
class Result:
    """An argument that is an input of the graph, or what an earlier call gave."""

    name: str


@dataclass(frozen=True)
class Call:
    """One operator with its arguments, and the names of what it gives (None: not wanted)."""

    operator: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    results: tuple[str | None, ...]


@dataclass(frozen=True)
class Graph:
    """Calls in their order, between named inputs and outputs."""

    inputs: tuple[str, ...]
    calls: tuple[Call, ...]
    outputs: tuple[str, ...]


def read_graph(path: Path) -> Graph:
    """Read a program's graph. Raises BundleError for anything but calls of known operators."""
    try:
        return _graph(json.loads(_read_json(path)))
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}: export the bundle again") from error
    except (*_BAD_ZIP, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"{path} is not a program of PyTorch's: {type(error).__name__}: {_first(error)}: "
            "export the bundle again"
        ) from error


def _graph(content: dict[str, Any]) -> Graph:
    major = content["schema_version"]["major"]
    if major != SCHEMA_MAJOR:
        raise ValueError(f"schema version {str(major)[:20]} is not {SCHEMA_MAJOR}")
    graph = content["graph_module"]["graph"]
    return Graph(
        inputs=tuple(_name(one) for one in graph["inputs"]),
        calls=tuple(_call(node) for node in graph["nodes"]),
        outputs=tuple(_name(one) for one in graph["outputs"]),
    )


def _read_json(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        entries = [one for one in archive.infolist() if one.filename.endswith(_GRAPH)]
        if len(entries) != 1:
            raise ValueError(f"{len(entries)} graphs")
        # zipfile bounds what a read takes for these two only.
        if entries[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("compressed with another method than deflate")
        with archive.open(entries[0]) as file:
            data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"a graph of more than {_MAX_BYTES} bytes")
    return data


def _call(node: dict[str, Any]) -> Call:
    operator = str(node["target"])
    if operator not in OPERATORS:
        raise ValueError(f"operator {operator[:80]!r} is not allowed")
    positional = [one for one in node["inputs"] if one["kind"] == 1]
    return Call(
        operator=operator,
        arguments=tuple(_argument(one["arg"]) for one in positional),
        keywords={
            str(one["name"]): _argument(one["arg"]) for one in node["inputs"] if one["kind"] != 1
        },
        results=tuple(name for one in node["outputs"] for name in _results(one)),
    )


def _results(output: dict[str, Any]) -> list[str | None]:
    ((kind, value),) = output.items()
    if kind == "as_none":
        return [None]
    if kind == "as_tensors":
        return [str(one["name"]) for one in value]
    return [_name(output)]


def _name(value: dict[str, Any]) -> str:
    ((kind, content),) = value.items()
    if kind == "as_tensor":
        return str(content["name"])
    if kind == "as_sym_int":
        return str(content["as_name"])
    raise ValueError(f"a value of kind {str(kind)[:40]!r}")


def _argument(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    return _READERS[kind](content)


def _tensor(content: dict[str, Any]) -> Result:
    return Result(str(content["name"]))


def _size(content: dict[str, Any]) -> Any:
    """Return one size: a number, or what an earlier call gave."""
    ((kind, value),) = content.items()
    return Result(str(value)) if kind == "as_name" else _argument(content)


def _number(value: Any) -> int | float | bool:
    if not isinstance(value, int | float):
        raise TypeError(f"{str(value)[:20]!r} is not a number")
    return value


def _device(content: dict[str, Any]) -> torch.device:
    if content["type"] != "cpu":
        raise ValueError(f"a tensor on {str(content['type'])[:20]!r}")
    return torch.device("cpu")


def _each(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda content: [read(one) for one in content]


_READERS: dict[str, Callable[[Any], Any]] = {
    "as_none": lambda _: None,
    "as_tensor": _tensor,
    "as_tensors": _each(_tensor),
    "as_optional_tensors": _each(_argument),
    "as_int": _number,
    "as_ints": _each(_number),
    "as_float": _number,
    "as_floats": _each(_number),
    "as_bool": _number,
    "as_bools": _each(_number),
    "as_sym_int": _size,
    "as_sym_ints": _each(_size),
    "as_scalar_type": _TYPES.__getitem__,
    "as_memory_format": _MEMORY_FORMATS.__getitem__,
    "as_layout": _LAYOUTS.__getitem__,
    "as_device": _device,
}


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no more is known"])[0][:200]
