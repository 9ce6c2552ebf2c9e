"""Writing the step programs of backend executorch: each one delegate, XNNPACK's."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from hiertk_edge.engines.executorch_program import INFER, STEP
from hiertk_edge.engines.program_state import write_state
from hiertk_protocol.errors import ExportError
from hiertk_protocol.manifest import Manifest
from torch import Tensor, fx, nn

from hiertk.export.joint import trace_step
from hiertk.models import EdgeModel

if TYPE_CHECKING:
    from hiertk.export.xnnpack.graph import Graph

_DELEGATE = "XnnpackBackend"


def write_executorch_artifacts(edge: EdgeModel, draft: Manifest, folder: Path) -> None:
    """Write train.pte, infer.pte, state.json and params.safetensors to `folder/edge`.

    Raises ExportError if an operator cannot be lowered, naming it.
    """
    (folder / STEP).parent.mkdir()
    graphs = trace_step(edge, draft, dynamic_batch=False)
    (folder / STEP).write_bytes(lower(graphs.step, graphs.step_inputs))
    (folder / INFER).write_bytes(lower(graphs.infer, graphs.infer_inputs))
    write_state(graphs.state, edge.state_dict(), folder)


def lower(module: fx.GraphModule, inputs: tuple[Tensor, ...]) -> bytes:
    """Return a graph of ATen operators as an ExecuTorch program. Raises ExportError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how executorch uses torch.export
        from hiertk.export.xnnpack import translate

        graph = translate(module)
        (outputs,) = [node.args[0] for node in module.graph.nodes if node.op == "output"]
        shapes = [tuple(node.meta["val"].shape) for node in outputs]
        return program_around(graph, inputs, shapes)


def program_around(
    graph: "Graph", inputs: tuple[Tensor, ...], shapes: list[tuple[int, ...]]
) -> bytes:
    """Return a program that is one delegate, with outputs of these shapes.

    It copies no inputs: they are read where they lie. Its outputs have memory of their own: from
    Java none can be given. Raises ExportError.
    """
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
    from executorch.exir.lowered_backend_module import LoweredBackendModule
    from executorch.exir.passes import MemoryPlanningPass

    config = EdgeCompileConfig(_skip_dim_order=True)
    stand_in = torch.export.export(_StandIn(shapes), inputs, strict=False)
    delegate = LoweredBackendModule(stand_in, _DELEGATE, graph.serialize(), [], graph.constants)
    try:
        program = to_edge(
            torch.export.export(_Delegated(delegate), inputs, strict=False), compile_config=config
        ).to_executorch(
            ExecutorchBackendConfig(
                memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False)
            )
        )
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise ExportError(f"ExecuTorch's own exporter failed: {first}") from error
    return bytes(program.buffer)


class _StandIn(nn.Module):
    """Has the delegate's shapes while the program around it is traced."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        self._shapes = shapes

    def forward(self, *_: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty(shape) for shape in self._shapes)


class _Delegated(nn.Module):
    """A program that is nothing but a delegate."""

    def __init__(self, delegate: nn.Module) -> None:
        super().__init__()
        self._delegate = delegate

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        results: tuple[Tensor, ...] = self._delegate(*inputs)
        return results
