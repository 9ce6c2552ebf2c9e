"""The process that derives ONNX Runtime's training artifacts from a forward graph.

python -m hiertk.ort_generate: reads a Request as JSON from standard input. It is a process of its
own because the engine's gradient builder writes to standard output whatever its log level, and ends
the process where an operator confuses it. It imports no torch.
"""

import sys
from pathlib import Path

from hiertk_edge.engines.ort_engine import import_engine
from hiertk_protocol.manifest import AdamW
from pydantic import BaseModel


class Request(BaseModel):
    """forward: the forward graph. trained, frozen: names of initializers. folder: to write to."""

    forward: Path
    trained: tuple[str, ...]
    frozen: tuple[str, ...]
    optimizer: AdamW
    folder: Path


def generate(request: Request) -> None:
    """Write training, eval and optimizer graph and the checkpoint."""
    import onnx

    import_engine()
    from onnxruntime.training import artifacts, onnxblock

    artifacts.generate_artifacts(
        onnx.load(request.forward),
        requires_grad=list(request.trained),
        frozen_params=list(request.frozen),
        loss=artifacts.LossType.CrossEntropyLoss,
        loss_input_names=["logits"],
        additional_output_names=["features", "logits"],
        optimizer=onnxblock.optim.AdamW(
            betas=(request.optimizer.beta1, request.optimizer.beta2),
            eps=request.optimizer.epsilon,
            weight_decay=request.optimizer.weight_decay,
        ),
        artifact_directory=str(request.folder),
    )


if __name__ == "__main__":
    # The engine's tools import torch wherever it is installed: 3 s of every export, for nothing.
    sys.modules["torch"] = None  # type: ignore[assignment]
    generate(Request.model_validate_json(sys.stdin.read()))
