"""The cut: a network's graph in two, at a place that a single tensor crosses."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from hiertk_protocol.errors import ModelError
from torch import fx, nn

from hiertk.models.points import SeparationPoint, check_input_size, find_points
from hiertk.models.trace import Trace, trace


@dataclass(frozen=True)
class Partitions:
    """Both sides of a cut; they hold the network's own modules under their own names.

    edge: images (N, 3, S, S) -> features (N, C, H, W). cloud: features -> logits (N, class slots).
    """

    edge: fx.GraphModule
    cloud: fx.GraphModule


class Cuttable:
    """A network, traced, with its separation points."""

    def __init__(self, model: nn.Module, input_size: int, slots: int) -> None:
        """Trace a network. Raises ModelError if it cannot be cut or is no such classifier."""
        self.model = model
        self._trace = trace(model, input_size)
        self.points = find_points(self._trace)
        check_input_size(self._trace, self.points[-1], input_size)
        _check_output(self._trace, slots)

    def point(self, split: int) -> SeparationPoint:
        """Return a separation point by its number, from 1. Raises ModelError."""
        if not 1 <= split <= len(self.points):
            raise ModelError(
                f"the network has separation points 1 to {len(self.points)}, not {split}"
            )
        return self.points[split - 1]

    def narrowed_by(self, bottleneck: int | None) -> tuple[SeparationPoint, ...]:
        """Return the points with more channels than a bottleneck; all of them without one."""
        return tuple(
            point
            for point in self.points
            if bottleneck is None or bottleneck < point.feature_shape[0]
        )

    def cut(self, split: int) -> Partitions:
        """Cut it, so that `cloud(edge(x))` is `model(x)` bit for bit. Raises ModelError."""
        node = self.point(split).node
        return Partitions(
            edge=self._piece(None, node, "EdgePartition"),
            cloud=self._piece(node, None, "CloudPartition"),
        )

    def segments(self) -> list[fx.GraphModule]:
        """Return the pieces between all separation points, in order: one more than points."""
        bounds = [None, *(point.node for point in self.points), None]
        return [self._piece(start, end, "Segment") for start, end in pairwise(bounds)]

    @cached_property
    def _place(self) -> dict[fx.Node, int]:
        return {node: number for number, node in enumerate(self._trace.nodes)}

    def _piece(self, start: fx.Node | None, end: fx.Node | None, name: str) -> fx.GraphModule:
        """Return what lies after node `start` (None: the beginning) and up to `end`."""
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        first = 0
        if start is not None:
            first = self._place[start] + 1
            copies[start] = graph.placeholder("features")
        last = len(self._trace.nodes) if end is None else self._place[end] + 1

        def copy_of(source: fx.Node) -> fx.Node:
            if source not in copies and source.op == "get_attr":  # weights read before the cut
                copies[source] = graph.node_copy(source)
            return copies[source]

        for node in self._trace.nodes[first:last]:
            if node not in copies:
                copies[node] = graph.node_copy(node, copy_of)
        if end is not None:
            graph.output(copies[end])
        return fx.GraphModule(self.model, graph, name)


def _check_output(graph: Trace, slots: int) -> None:
    source = graph.nodes[-1].args[0]
    shape = graph.shapes.get(source) if isinstance(source, fx.Node) else None
    if shape is None or shape[1:] != (slots,):
        got = "several tensors" if shape is None else f"(N, {', '.join(map(str, shape[1:]))})"
        raise ModelError(
            f"the network returns {got}, not logits (N, {slots}): a classifier with one output for "
            "each class slot is needed"
        )
