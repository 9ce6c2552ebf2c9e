"""The cut: a network's graph in two, at a place that a single tensor crosses."""

from dataclasses import dataclass

from hiertk_protocol.errors import ModelError
from torch import fx, nn


@dataclass(frozen=True)
class Partitions:
    """Both sides of a cut; they hold the network's own modules under their own names.

    edge: images (N, 3, S, S) -> features (N, C, H, W). cloud: features -> logits (N, class slots).
    """

    edge: fx.GraphModule
    cloud: fx.GraphModule


def cut(model: nn.Module, module_name: str) -> Partitions:
    """Cut a network after a module, so that `cloud(edge(x))` is `model(x)` bit for bit.

    Raises ModelError if the graph cannot be traced, or more than the module's output crosses.
    """
    try:
        graph = fx.Tracer().trace(model)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ModelError(f"the network's graph depends on its data: {error}") from error
    nodes = list(graph.nodes)
    last = _last_node_of(nodes, module_name)
    before = set(nodes[: nodes.index(last) + 1])
    _check_single_crossing(nodes, before, last, module_name)
    return Partitions(
        edge=_edge_partition(model, nodes, before, last),
        cloud=_cloud_partition(model, nodes, before, last),
    )


def _last_node_of(nodes: list[fx.Node], module_name: str) -> fx.Node:
    inside = [node for node in nodes if module_name in node.meta.get("nn_module_stack", {})]
    if not inside:
        raise ModelError(f"the network's graph has no module {module_name}")
    return inside[-1]


def _check_single_crossing(
    nodes: list[fx.Node], before: set[fx.Node], last: fx.Node, module_name: str
) -> None:
    for node in nodes:
        if node in before:
            continue
        crossing = [source for source in node.all_input_nodes if source in before]
        if any(source is not last for source in crossing):
            names = ", ".join(source.name for source in crossing if source is not last)
            raise ModelError(f"{module_name} is no separation point: {names} crosses it as well")


def _edge_partition(
    model: nn.Module, nodes: list[fx.Node], before: set[fx.Node], last: fx.Node
) -> fx.GraphModule:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        if node in before:
            copies[node] = graph.node_copy(node, lambda source: copies[source])
    graph.output(copies[last])
    return fx.GraphModule(model, graph, "EdgePartition")


def _cloud_partition(
    model: nn.Module, nodes: list[fx.Node], before: set[fx.Node], last: fx.Node
) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {last: graph.placeholder("features")}
    for node in nodes:
        if node not in before:
            copies[node] = graph.node_copy(node, lambda source: copies[source])
    return fx.GraphModule(model, graph, "CloudPartition")
