"""A network as a graph: traced once, with the shape of every value in it."""

import copy
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch
from hiertk_protocol.errors import ModelError
from torch import fx, nn

from hiertk.models.normalization import FrozenStatistics

Shape = tuple[int, ...]
_BATCH = 2
_TORCH = Path(torch.__file__).parent
_NORMALIZATIONS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, FrozenStatistics)


@dataclass(frozen=True)
class Trace:
    """A network's graph. shapes: of each node that gives a tensor, for two images."""

    model: nn.Module
    graph: fx.Graph
    shapes: dict[fx.Node, Shape]

    @property
    def nodes(self) -> tuple[fx.Node, ...]:
        """The graph's nodes, in order."""
        return tuple(self.graph.nodes)


def trace(model: nn.Module, input_size: int) -> Trace:
    """Trace a network for images (N, 3, input_size, input_size); no value is computed.

    Raises ModelError if its graph depends on its data or on training, or the input does not fit.
    """
    graph = _graph(model)
    return Trace(model, graph, shapes_at(model, graph, input_size))


def shapes_at(model: nn.Module, graph: fx.Graph, input_size: int) -> dict[fx.Node, Shape]:
    """Return the shape of every tensor in a network's graph, for two images of a size.

    Raises ModelError if the input does not fit.
    """
    empty = without_values(model).eval()
    recorder = _Recorder(fx.GraphModule(empty, graph))
    images = torch.empty(_BATCH, 3, input_size, input_size, device="meta")
    try:
        with torch.no_grad():
            recorder.run(images)
    except Exception as error:  # shapes that do not fit, in whatever operator
        reason = _first(error.__cause__ or error)
        raise ModelError(
            f"inputs of {input_size} pixels do not fit the network: {reason}"
        ) from error
    by_name = recorder.shapes
    return {node: by_name[node.name] for node in graph.nodes if node.name in by_name}


def without_values(model: nn.Module) -> nn.Module:
    """Return a copy of a network on the meta device: shapes and types without any value."""
    values = [*model.parameters(), *model.buffers()]
    memo: dict[int, object] = {}
    for value in values:
        empty = torch.empty_like(value, device="meta")
        is_parameter = isinstance(value, nn.Parameter)
        memo[id(value)] = nn.Parameter(empty, value.requires_grad) if is_parameter else empty
    return copy.deepcopy(model, memo)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Other libraries' kinds of normalization look at `training`, which a graph would fix.
        return isinstance(m, _NORMALIZATIONS) or super().is_leaf_module(m, module_qualified_name)


def _graph(model: nn.Module) -> fx.Graph:
    was_training = model.training
    try:
        inference = _Tracer().trace(model.eval())
        training = _Tracer().trace(model.train())
    except Exception as error:  # the network's own code runs on stand-ins for its values
        raise ModelError(
            f"the network cannot be traced to a graph: {_first(error)}{_place_in_network(error)}"
        ) from error
    finally:
        model.train(was_training)
    if _code(inference) != _code(training):
        raise ModelError(
            "the network's graph is another in training than in inference: use modules such as "
            "nn.Dropout in place of functions"
        )
    return training


def _code(graph: fx.Graph) -> str:
    return graph.python_code("self").src


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.shapes: dict[str, Shape] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.shapes[n.name] = tuple(value.shape)
        return value


def _place_in_network(error: BaseException) -> str:
    """Say in which line of the network's own code tracing failed."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if not Path(frame.filename).is_relative_to(_TORCH)]
    last = inside[-1]
    if last.filename == __file__:
        return ""
    return f" ({Path(last.filename).name}, line {last.lineno}: {last.line})"


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
