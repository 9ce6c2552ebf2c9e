"""What an export has to know of each backend and target."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hiertk_edge.engines.executorch_program import VERSION as EXECUTORCH_VERSION
from hiertk_edge.engines.ort_engine import VERSION as ONNXRUNTIME_VERSION
from hiertk_edge.engines.torch_program import torch_version
from hiertk_protocol.manifest import AdamW, Backend, Manifest, Sgd, Target

from hiertk.models import EdgeModel

# (the model, which stays as it is; the manifest without files; where edge/ goes)
Writer = Callable[[EdgeModel, Manifest, Path], None]


@dataclass(frozen=True)
class BackendRules:
    """What a backend can do.

    optimizers: the first is the default. any_batch: a step takes any number of samples, not only
    the bundle's. corrected_variance: running variances have Bessel's correction, as PyTorch defines
    them; in ONNX they have not.
    """

    version: str
    optimizers: tuple[type[AdamW | Sgd], ...]
    any_batch: bool
    corrected_variance: bool


RULES: dict[Backend, BackendRules] = {
    "onnxruntime": BackendRules(
        version=ONNXRUNTIME_VERSION,
        optimizers=(AdamW,),
        any_batch=True,
        corrected_variance=False,
    ),
    "executorch": BackendRules(
        version=EXECUTORCH_VERSION,
        optimizers=(Sgd, AdamW),
        any_batch=False,
        corrected_variance=True,
    ),
    "torch": BackendRules(
        version=torch_version(),
        optimizers=(AdamW, Sgd),
        any_batch=True,
        corrected_variance=True,
    ),
}

# The first of each is the default.
BACKENDS: dict[Target, tuple[Backend, ...]] = {
    "linux": ("onnxruntime", "executorch", "torch"),
    "android": ("onnxruntime", "executorch"),
    "rpi": ("executorch", "torch"),
}


def optimizers_of(target: Target, backend: Backend) -> tuple[type[AdamW | Sgd], ...]:
    """Return the optimizers that a backend has on a target, the default first."""
    if (target, backend) == ("android", "executorch"):
        return (Sgd,)  # the phone's engine has no other
    return RULES[backend].optimizers


def write_artifacts(edge: EdgeModel, draft: Manifest, folder: Path) -> None:
    """Write what the manifest's backend trains with to `folder/edge`; `edge` stays as it is.

    Raises ExportError.
    """
    _writer(draft.engine.backend)(edge, draft, folder)


def _writer(backend: Backend) -> Writer:
    if backend == "onnxruntime":
        from hiertk.export.ort_artifacts import write_ort_artifacts

        return write_ort_artifacts
    if backend == "executorch":
        from hiertk.export.executorch_artifacts import write_executorch_artifacts

        return write_executorch_artifacts
    from hiertk.export.torch_artifacts import write_torch_artifacts

    return write_torch_artifacts
