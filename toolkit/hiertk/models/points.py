"""Separation points: places in a network's graph that a single tensor crosses, one per block.

A block is what the network's author wrote as one: a residual block, an inverted residual, or in
plain networks a convolution. What follows it without weights of its own (normalization, activation,
pooling) belongs to it. Convolutions before the first block are the stem, which is no block.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hiertk_protocol.errors import ModelError
from torch import fx, nn

from hiertk.models.trace import Trace, shapes_at

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_GLOBAL_POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_PROBE_SIZE = 256


@dataclass(frozen=True)
class SeparationPoint:
    """One place to cut. number: from 1. name: of the module after which it lies, or of the node.

    feature_shape: (C, H, W) of what crosses it.
    """

    number: int
    name: str
    feature_shape: tuple[int, int, int]
    node: fx.Node


def find_points(graph: Trace) -> tuple[SeparationPoint, ...]:
    """Return all separation points in order. Raises ModelError if there is none."""
    blocks = _Blocks(graph.model)
    alone = set(_crossing_alone(graph))
    found: list[tuple[fx.Node, bool]] = []
    block: str | None = None
    candidate: fx.Node | None = None
    is_open = False
    for node in graph.nodes:
        own = blocks.of(node)
        if own is not None and own != block:
            if candidate is not None and block is not None:
                found.append((candidate, blocks.is_plain(block)))
            block, candidate, is_open = own, None, True
        elif own is None and blocks.begins_head(node):
            break
        elif own is None and blocks.is_layer_norm(node):
            is_open = False  # it belongs to the block that follows
        if is_open and node in alone:
            candidate = node
    if candidate is not None and block is not None:
        found.append((candidate, blocks.is_plain(block)))
    nodes = _without_stem(found)
    if not nodes:
        raise ModelError(
            "the network has no separation point: no single tensor (N, C, H, W) crosses its graph "
            "after a block of convolutions"
        )
    return tuple(_numbered(graph, nodes))


def check_input_size(graph: Trace, last: SeparationPoint, input_size: int) -> None:
    """Refuse inputs smaller than the stride up to the last point. Raises ModelError."""
    if last.feature_shape[1] > 1 or input_size >= _PROBE_SIZE:
        return
    try:
        large = shapes_at(graph.model, graph.graph, _PROBE_SIZE)
    except ModelError:
        return  # made for one input size only, and this one fits
    stride = _PROBE_SIZE // large[last.node][2]
    if input_size < stride:
        raise ModelError(
            f"the network needs inputs of at least {stride} pixels, not {input_size}: its maps "
            "shrink to less than one value"
        )


def _crossing_alone(graph: Trace) -> Iterator[fx.Node]:
    """Yield the nodes (N, C, H, W) at which nothing else is still needed later."""
    place = {node: number for number, node in enumerate(graph.nodes)}
    needed_until = [
        max((place[user] for user in node.users), default=number)
        for number, node in enumerate(graph.nodes)
    ]
    furthest = -1  # how far the values before this node are needed; weights can be read anywhere
    for number, node in enumerate(graph.nodes):
        if furthest <= number < needed_until[number] and len(graph.shapes.get(node, ())) == 4:
            yield node
        if node.op != "get_attr":
            furthest = max(furthest, needed_until[number])


def _without_stem(found: list[tuple[fx.Node, bool]]) -> list[fx.Node]:
    first = next((number for number, (_, is_plain) in enumerate(found) if not is_plain), 0)
    return [node for node, _ in found[first:]]


def _numbered(graph: Trace, nodes: list[fx.Node]) -> Iterator[SeparationPoint]:
    order = {node: number for number, node in enumerate(graph.nodes)}
    spans: dict[str, tuple[int, int]] = {}
    for node in graph.nodes:
        for path in _paths(node):
            first, _ = spans.get(path, (order[node], 0))
            spans[path] = (first, order[node])
    previous = 0
    for number, node in enumerate(nodes, start=1):
        end = order[node]
        inside = [
            path for path in _paths(node) if previous < spans[path][0] and spans[path][1] == end
        ]
        _, channels, height, width = graph.shapes[node]
        name = inside[0] if inside else node.name
        yield SeparationPoint(number, name, (channels, height, width), node)
        previous = end


def _paths(node: fx.Node) -> list[str]:
    """Return the module calls around a node, the outermost first: PATH, or PATH@1 if repeated."""
    return [path for path in node.meta.get("nn_module_stack", {}) if path]


def _modules_around(node: fx.Node) -> list[str]:
    return [path.partition("@")[0] for path in _paths(node)]


class _Blocks:
    """Which block a node belongs to."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = dict(model.named_modules())
        convolutions = {path for path, module in self._modules.items() if _is_convolution(module)}
        self._with_weights = {
            path
            for path in self._modules
            if any(one == path or one.startswith(f"{path}.") for one in convolutions)
        }
        self._opened = {
            path
            for path, module in self._modules.items()
            if isinstance(module, _CONTAINERS)
            or (not _is_convolution(module) and _holds_all(path, convolutions))
            or _lists_blocks(module)
        }

    def of(self, node: fx.Node) -> str | None:
        """Return the path of the block around a node, None if it is in none with weights."""
        path = next((path for path in _modules_around(node) if path not in self._opened), None)
        return path if path in self._with_weights else None

    def is_plain(self, block: str) -> bool:
        """Return whether a block is a single convolution."""
        return _is_convolution(self._modules[block])

    def begins_head(self, node: fx.Node) -> bool:
        """Return whether a node outside blocks is a global pool: the classifier begins there."""
        if any(
            isinstance(module, _GLOBAL_POOLS) or "AdaptivePool" in type(module).__name__
            for module in self._around(node)
        ):
            return True
        if node.op not in ("call_function", "call_method"):
            return False
        kind = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        return kind == "mean" or "adaptive" in kind

    def is_layer_norm(self, node: fx.Node) -> bool:
        """Return whether a node outside blocks is layer normalization."""
        return any(isinstance(module, nn.LayerNorm) for module in self._around(node))

    def _around(self, node: fx.Node) -> list[nn.Module]:
        return [self._modules[path] for path in _modules_around(node) if path not in self._opened]


def _is_convolution(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


def _holds_all(path: str, convolutions: set[str]) -> bool:
    return bool(convolutions) and all(one.startswith(f"{path}.") for one in convolutions)


def _lists_blocks(module: nn.Module) -> bool:
    """Return whether a module of the author's own is a stage: a list of several alike blocks."""
    for inner in module.modules():
        if isinstance(inner, _CONTAINERS):
            kinds = [type(child) for child in inner.children() if _is_own(child)]
            if len(kinds) > len(set(kinds)):
                return True
    return False


def _is_own(module: nn.Module) -> bool:
    """Return whether a module is of the author's making, and has convolutions."""
    if isinstance(module, (*_CONTAINERS, nn.Conv2d)):
        return False
    return any(_is_convolution(inner) for inner in module.modules())
