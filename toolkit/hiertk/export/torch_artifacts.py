"""Writing the step programs of backend torch: PyTorch's own format, with an open batch size."""

from operator import getitem
from pathlib import Path

import torch
from hiertk_edge.engines.aten_operators import OPERATORS
from hiertk_edge.engines.program_state import write_state
from hiertk_edge.engines.torch_program import INFER, STEP
from hiertk_protocol.errors import ExportError
from hiertk_protocol.manifest import Manifest
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.export import Dim, ExportedProgram

from hiertk.export.joint import trace_step
from hiertk.models import EdgeModel


def write_torch_artifacts(edge: EdgeModel, draft: Manifest, folder: Path) -> None:
    """Write train.pt2, infer.pt2, state.json and params.safetensors to `folder/edge`.

    Raises ExportError if the step cannot be traced, or needs an operator that devices do not run.
    """
    (folder / STEP).parent.mkdir()
    graphs = trace_step(edge, draft, dynamic_batch=True)
    _write(graphs.step, graphs.step_inputs, 2, folder / STEP)
    _write(graphs.infer, graphs.infer_inputs, 1, folder / INFER)
    write_state(graphs.state, edge.state_dict(), folder)


def _write(graph: fx.GraphModule, inputs: tuple[Tensor, ...], batched: int, path: Path) -> None:
    """Write a graph whose first `batched` inputs have the batch size as their first dimension."""
    batch = Dim("batch")
    shapes = tuple({0: batch} if index < batched else None for index in range(len(inputs)))
    try:
        program = torch.export.export(graph, inputs, dynamic_shapes=shapes, strict=False)
    except (RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ExportError(f"the training step is no program of PyTorch's: {first}") from error
    unknown = sorted(_operators(program) - OPERATORS)
    if unknown:
        raise ExportError(
            f"backend torch does not run {', '.join(unknown)}: take another separation point, or "
            "another --backend"
        )
    _forget_origins(program)
    torch.export.save(program, path)


def _operators(program: ExportedProgram) -> set[str]:
    """Return the operators by the names that they have in the file."""
    targets = {node.target for node in program.graph.nodes if node.op == "call_function"}
    return {
        f"torch.ops.{target}" if isinstance(target, OpOverload) else f"_operator.{target.__name__}"
        for target in targets - {getitem}
    }


def _forget_origins(program: ExportedProgram) -> None:
    """Drop example inputs, which hold the parameters, and the source lines of this machine."""
    program.example_inputs = None
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "from_node", "source_fn_stack", "torch_fn"):
            node.meta.pop(key, None)
