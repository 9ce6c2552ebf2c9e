"""The training step of an edge partition as one graph without side effects.

Forward, loss and backward are traced together. All state goes in and comes out: parameters get
gradients, running statistics get new values. What is exported to ExecuTorch and as a PyTorch
program is made from this graph.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from hiertk_edge.engines.program_state import ProgramState
from hiertk_protocol.errors import ExportError
from hiertk_protocol.manifest import Manifest
from torch import Tensor, fx, nn
from torch.func import functional_call, functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import log_softmax

from hiertk.export.open_batch import trace_open_batch
from hiertk.models import EdgeModel


@dataclass(frozen=True)
class StepGraphs:
    """A training step and its inference form, in ATen operators.

    step: images (B, 3, S, S), targets (B, slots), class bias (slots,), parameters, statistics,
    constants -> loss (1,), features (B, C, H, W), logits (B, slots), gradients, new statistics.
    infer: images, class bias, parameters, statistics, constants -> features, logits.
    All are float32; the state has the order of `state`.
    """

    step: fx.GraphModule
    infer: fx.GraphModule
    state: ProgramState
    step_inputs: tuple[Tensor, ...]
    infer_inputs: tuple[Tensor, ...]


def trace_step(edge: EdgeModel, draft: Manifest, *, dynamic_batch: bool) -> StepGraphs:
    """Trace the step that a manifest describes; `edge` stays as it is.

    dynamic_batch: leave the number of samples open.

    Raises ExportError for a network that cannot be traced so.
    """
    model = _without_counters(edge)
    state = state_of(model)
    tensors = {name: value.detach() for name, value in model.state_dict().items()}
    values = tuple(tensors[name] for name in state.names)
    batch_size, slots = draft.engine.batch_size, draft.classes.capacity
    images = torch.zeros(batch_size, *draft.input.shape)
    targets = torch.full((batch_size, slots), 1 / (batch_size * slots))
    bias = torch.zeros(slots)
    step_inputs = (images, targets, bias, *values)
    infer_inputs = (images, bias, *values)
    return StepGraphs(
        step=trace(_step_function(model, state), step_inputs, 2 if dynamic_batch else 0),
        infer=trace(_infer_function(model, state), infer_inputs, 1 if dynamic_batch else 0),
        state=state,
        step_inputs=step_inputs,
        infer_inputs=infer_inputs,
    )


def state_of(edge: EdgeModel) -> ProgramState:
    """Return the names of what a step trains, moves and only reads.

    Raises ExportError for running statistics without a momentum.
    """
    statistics = []
    for name, layer in edge.named_modules():
        if not isinstance(layer, nn.BatchNorm2d) or layer.running_mean is None:
            continue
        if layer.momentum is None:
            raise ExportError(
                f"{name}: running statistics without momentum depend on the number of steps: "
                "take --normalization group or frozen"
            )
        statistics += [f"{name}.running_mean", f"{name}.running_var"]
    return ProgramState(
        parameters=tuple(name for name, _ in edge.named_parameters()),
        statistics=tuple(statistics),
        constants=tuple(
            name
            for name, value in edge.named_buffers()
            if name not in statistics and value.is_floating_point()
        ),
    )


def _step_function(model: EdgeModel, state: ProgramState) -> Callable[..., tuple[Tensor, ...]]:
    def step(
        images: Tensor, targets: Tensor, class_bias: Tensor, *values: Tensor
    ) -> tuple[Tensor, ...]:
        model.train()
        tensors = dict(zip(state.names, values, strict=True))
        trained = [tensors[name].detach().requires_grad_() for name in state.parameters]
        moved = [tensors[name].clone() for name in state.statistics]
        tensors.update(zip(state.parameters, trained, strict=True))
        tensors.update(zip(state.statistics, moved, strict=True))
        logits, features = functional_call(model, tensors, (images, class_bias))
        loss = -(targets * log_softmax(logits, dim=1)).sum()
        gradients = torch.autograd.grad(loss, trained)
        return (loss.detach().reshape(1), features.detach(), logits.detach(), *gradients, *moved)

    return step


def _infer_function(model: EdgeModel, state: ProgramState) -> Callable[..., tuple[Tensor, ...]]:
    def infer(images: Tensor, class_bias: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        model.eval()
        tensors = dict(zip(state.names, values, strict=True))
        logits, features = functional_call(model, tensors, (images, class_bias))
        return features, logits

    return infer


def _without_counters(edge: EdgeModel) -> EdgeModel:
    """Return a copy that does not count batches: the number is used only without a momentum."""
    model = copy.deepcopy(edge)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked = None
    return model


def trace(
    function: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...], batched: int = 0
) -> fx.GraphModule:
    """Trace a function, its use of autograd included.

    batched: how many of the first inputs have an open number of samples. Raises ExportError.
    """
    try:
        # Twice: first with autograd, whose own backward operators a functional transform would
        # take apart; then without what changes tensors in place.
        traced = _make(function, inputs, batched)
        graph = _make(functionalize(traced, remove="mutations_and_views"), inputs, batched)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise ExportError(f"the training step cannot be traced: {first}") from error
    _drop_aliases(graph)
    return graph


def _make(
    function: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...], batched: int
) -> fx.GraphModule:
    if batched:
        return trace_open_batch(function, inputs, batched)
    return make_fx(function, tracing_mode="fake")(*inputs)


def _drop_aliases(module: fx.GraphModule) -> None:
    """Take out what only renames a tensor; nothing changes one in place any more."""
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.alias_copy.default:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()
