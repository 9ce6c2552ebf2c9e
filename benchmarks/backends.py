"""A training step of every backend against PyTorch eager: time and peak memory."""

from contextlib import ExitStack

from hiertk_protocol.bundle import Bundle

from benchmarks.cases import SMALL, Case, export_case
from benchmarks.figures import Figure, at_most, interleave, ratios
from benchmarks.stepper import python_stepper
from benchmarks.workplace import Workplace

TITLE = "Every backend's step against PyTorch eager"
HOW = """\
One step of the bundle's `Learner` over one step of PyTorch eager, as in "Edge step against PyTorch
eager": one thread each, 32x32, real images, a process each, turns of five steps, the ratio taken
per turn. `executorch` and `torch` train with SGD with momentum, and so does eager; `onnxruntime`
has AdamW only. ResNet-18 has the 3x3 stem (no early downsampling), VGG-16 is cut after its second
convolution, with the pool that follows, MobileNetV2 after its third block. Memory is the process's
peak with the libraries that it loads: torch and torchvision for eager, torch and ExecuTorch, torch,
or ONNX Runtime alone."""

_TURNS = {"tiny": 2, "quick": 4, "full": 10}
_BACKENDS = ("executorch", "torch", "onnxruntime")


_ALL = (
    Case("resnet18", 2, "3x3", 8),
    Case("resnet18", 2, "3x3", 32),
    Case("vgg16", 2, "torchvision", 32),
    Case("mobilenet_v2", 3, "torchvision", 32),
)
_CASES = {"tiny": (SMALL,), "quick": _ALL, "full": _ALL}


def measure(place: Workplace) -> list[Figure]:
    """Return ratios and peaks for each case and backend."""
    return [figure for case in _CASES[place.effort] for figure in _at(place, case)]


def _at(place: Workplace, case: Case) -> list[Figure]:
    bundles = {backend: _export(place, case, backend) for backend in _BACKENDS}
    with ExitStack() as stack:
        steppers = {
            backend: stack.enter_context(
                python_stepper(bundle, place.images, "learner", case.batch_size)
            )
            for backend, bundle in bundles.items()
        }
        steppers["eager"] = stack.enter_context(
            python_stepper(bundles["executorch"], place.images, "eager", case.batch_size)
        )
        turns = interleave([one.turn for one in steppers.values()], _TURNS[place.effort])
    times = dict(zip(steppers, turns, strict=True))
    peaks = {name: one.peak_bytes / 1e6 for name, one in steppers.items()}
    figures = [
        Figure(
            what=f"{backend} step / eager, {case}",
            unit="",
            samples=ratios(times[backend], times["eager"]),
            target=at_most(2.0) if backend == "executorch" else None,
        )
        for backend in _BACKENDS
    ]
    place.tell(", ".join(f"{figure.what}: {figure.text}" for figure in figures))
    figures.append(Figure(what=f"eager step, {case}", unit="ms", samples=tuple(times["eager"])))
    for name, peak in peaks.items():
        target = at_most(peaks["eager"]) if name == "executorch" else None
        figures.append(
            Figure(what=f"peak memory, {name}, {case}", unit="MB", samples=(peak,), target=target)
        )
    return figures


def _export(place: Workplace, case: Case, backend: str) -> Bundle:
    place.tell(f"exporting {case} for {backend}")
    return export_case(
        case,
        place.folder / f"{case.model}-{case.batch_size}-{backend}",
        backend=backend,
        target="linux",
        optimizer="adamw" if backend == "onnxruntime" else "sgd",
    )
