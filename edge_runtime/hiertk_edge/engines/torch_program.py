"""Step programs that PyTorch's own kernels run: the graph of a .pt2 file, call by call."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError
from torch import Tensor

from hiertk_edge.engines.pt2_file import Call, Graph, Result, read_graph

STEP = "edge/train.pt2"
INFER = "edge/infer.pt2"
_ROOTS: dict[str, Any] = {"torch": torch, "_operator": operator}


def torch_version() -> str:
    """Return the installed version, without what follows a plus sign."""
    return str(torch.__version__).partition("+")[0]


def open_program(bundle: Bundle, *, threads: int) -> "TorchProgram":
    """Open train.pt2 and infer.pt2. The number of threads is torch's own, for the whole process.

    Raises BundleError for another version of torch, or a program that is damaged.
    """
    wanted, here = bundle.manifest.engine.version, torch_version()
    if wanted.split(".")[:2] != here.split(".")[:2]:
        raise BundleError(
            f"the bundle is for torch {wanted}, here is {here}: install torch "
            f"{'.'.join(wanted.split('.')[:2])}, or export the bundle again with torch {here}"
        )
    torch.set_num_threads(threads)
    return TorchProgram(bundle.path(STEP), bundle.path(INFER))


class TorchProgram:
    """See `Program`. Any number of samples."""

    def __init__(self, step: Path, infer: Path) -> None:
        self._step = GraphRunner(step)
        self._infer = GraphRunner(infer)

    @property
    def batch_size(self) -> int | None:
        return None

    def step(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return self._step.run(inputs)

    def infer(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return self._infer.run(inputs)


@dataclass(frozen=True)
class _Prepared:
    """A call, and the results that nothing after it needs."""

    operator: Callable[..., Any]
    call: Call
    finished: tuple[str, ...]


class GraphRunner:
    """Runs a graph; a result is freed after its last use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._graph = read_graph(path)
        self._calls = _prepare(self._graph, path)

    @torch.no_grad()
    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the graph's outputs. Raises BundleError if they do not fit it."""
        if len(inputs) != len(self._graph.inputs):
            raise BundleError(
                f"{self._path} takes {len(self._graph.inputs)} values, the bundle has "
                f"{len(inputs)}: export it again"
            )
        values: dict[str, Any] = dict(zip(self._graph.inputs, inputs, strict=True))
        for one in self._calls:
            self._do(one, values)
        return [values[name] for name in self._graph.outputs]

    def _do(self, one: _Prepared, values: dict[str, Any]) -> None:
        call = one.call
        try:
            given = one.operator(
                *[_filled(argument, values) for argument in call.arguments],
                **{name: _filled(argument, values) for name, argument in call.keywords.items()},
            )
            several = given if isinstance(given, tuple | list) else (given,)
            results = dict(zip(call.results, several, strict=True))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            first = (str(error).strip().splitlines() or ["for no said reason"])[0]
            raise BundleError(f"{self._path}: {call.operator} fails: {first[:200]}") from error
        values.update({name: value for name, value in results.items() if name is not None})
        for name in one.finished:
            del values[name]


def _filled(argument: Any, values: dict[str, Any]) -> Any:
    if type(argument) is Result:
        return values[argument.name]
    if type(argument) is list:
        return [_filled(one, values) for one in argument]
    return argument


def _prepare(graph: Graph, path: Path) -> list[_Prepared]:
    known = set(graph.inputs)
    for call in graph.calls:
        unknown = set(_uses(call)) - known
        if unknown:
            raise BundleError(f"{path}: {min(unknown)[:80]!r} is used before it is there")
        known |= {name for name in call.results if name is not None}
    if not set(graph.outputs) <= known:
        raise BundleError(f"{path}: an output is never computed: export the bundle again")
    needed = set(graph.outputs)
    prepared = []
    for call in reversed(graph.calls):
        names = {*_uses(call), *(name for name in call.results if name is not None)}
        prepared.append(_Prepared(_operator(call.operator), call, tuple(names - needed)))
        needed |= names
    return prepared[::-1]


def _uses(call: Call) -> list[str]:
    return [
        one.name
        for argument in (*call.arguments, *call.keywords.values())
        for one in (argument if isinstance(argument, list) else [argument])
        if isinstance(one, Result)
    ]


def _operator(name: str) -> Callable[..., Any]:
    """Return what a listed name stands for: `torch.ops.aten.relu.default`, `_operator.mul`."""
    root, *path = name.split(".")
    found: Callable[..., Any] = reduce(getattr, path, _ROOTS[root])
    return found
