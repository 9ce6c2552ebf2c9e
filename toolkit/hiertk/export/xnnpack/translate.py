"""From a graph of ATen operators to one of XNNPACK's: a table with one rule per operator.

Tensors (N, C, H, W) that depend on the images are activations, cut into chunks; all others, such as
weights and logits, are single values in PyTorch's own layout.
"""

from collections.abc import Callable
from typing import Any

from hiertk_protocol.errors import ExportError
from torch import fx

from hiertk.export.xnnpack.graph import Graph, Value
from hiertk.export.xnnpack.layout import Activation, from_channels_first, to_channels_first
from hiertk.export.xnnpack.operators import Operators

Result = Any  # Value, Activation, a number, or a tuple of these
Rule = Callable[..., Result]


class Translator:
    """What the rules share: the operators, and what belongs to a forward pass's result."""

    def __init__(self, graph: Graph) -> None:
        self.on = Operators(graph)
        self.kept: dict[int, Any] = {}  # by the id of an activation: its centered form
        self._held: list[Any] = []
        self._results: dict[fx.Node, Result] = {}

    def run(self, module: fx.GraphModule) -> list[Value]:
        """Translate a whole graph, inputs and outputs included. Raises ExportError."""
        outputs: list[Value] = []
        for node in module.graph.nodes:
            if node.op == "placeholder":
                self._results[node] = self._input(node)
            elif node.op == "call_function":
                self._results[node] = self._translate(node)
            elif node.op == "output":
                outputs = [self._output(self._results[result]) for result in node.args[0]]
            else:
                raise ExportError(f"ExecuTorch: {node.name} is a {node.op}, which has no rule")
        return outputs

    def replace(self, node: fx.Node, result: Result) -> None:
        """Change what later nodes read: for operators that change an input."""
        self._results[node] = result

    def keep(self, activation: Activation, content: Any) -> None:
        """Note what the backward pass will need of this activation."""
        self._held.append(activation)  # an id is unique only while the object lives
        self.kept[id(activation)] = content

    def _input(self, node: fx.Node) -> Result:
        value = self.on.graph.input(tuple(node.meta["val"].shape))
        is_image = not self._results
        return from_channels_first(self.on, value) if is_image else value

    def _output(self, result: Result) -> Value:
        value = to_channels_first(self.on, result) if isinstance(result, Activation) else result
        self.on.graph.output(value)
        return value

    def _translate(self, node: fx.Node) -> Result:
        rule = RULES.get(node.target)
        if rule is None:
            raise _untrainable(node, "it has no rule")
        arguments = fx.node.map_arg(node.args, lambda used: self._results[used])
        options = fx.node.map_arg(node.kwargs, lambda used: self._results[used])
        try:
            if rule in _NODE_RULES:
                return rule(self, node, *arguments, **options)
            return rule(self, *arguments, **options)
        except UnsupportedError as error:
            raise _untrainable(node, str(error)) from error
        except (TypeError, AttributeError, AssertionError) as error:
            # An activation where the rule expects a single value, or an argument that it lacks.
            raise _untrainable(node, "this use of it has no rule") from error


class UnsupportedError(Exception):
    """A rule's word that it does not hold for these arguments."""


RULES: dict[Any, Rule] = {}
_NODE_RULES: set[Rule] = set()


def rule(*targets: Any) -> Callable[[Rule], Rule]:
    """Enter a function as the rule of ATen operators."""

    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(targets, function))
        return function

    return enter


def node_rule(*targets: Any) -> Callable[[Rule], Rule]:
    """Enter a function that is given the node, too."""

    def enter(function: Rule) -> Rule:
        _NODE_RULES.add(function)
        return rule(*targets)(function)

    return enter


def _untrainable(node: fx.Node, reason: str) -> ExportError:
    operator = str(node.target).removesuffix(".default")
    return ExportError(
        f"ExecuTorch cannot train {operator}: {reason}: take another separation point, or another "
        "--backend"
    )


def translate(module: fx.GraphModule) -> Graph:
    """Return a graph of ATen operators as one for the XNNPACK delegate.

    The first input is the images. Raises ExportError, naming the operator that has no rule.
    """
    import hiertk.export.xnnpack.rules  # noqa: F401  # fills the table

    graph = Graph()
    Translator(graph).run(module)
    return graph
