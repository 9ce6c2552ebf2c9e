"""A training step on the device, against PyTorch eager."""

import json
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from types import TracebackType

from benchmarks.figures import Figure, Target, at_most, interleave, ratios
from benchmarks.workplace import Workplace, environment, python

TITLE = "Edge step against PyTorch eager"
HOW = """\
One step of `OrtLearner` (loss, update, and the features as the agent gets them) over one step of
PyTorch eager (same network, forward, loss, backward, `torch.optim.AdamW`, features as numpy), one
thread each, ResNet-18, separation point 2, torchvision stem, 32x32, real images. Each engine has a
process of its own; they take turns of five steps, of which the last four count by their median;
the ratio is taken per turn. "As the product runs" returns freed memory to the system as
`hiertk-edge run` does (`hiertk_edge/memory.py`); "without memory setting" leaves glibc's own."""

_TURNS = {"tiny": 2, "quick": 12, "full": 40}
_STEPS = 5
_TARGETS: dict[str, dict[int, Target | None]] = {
    "tiny": {8: at_most(1.5)},
    "quick": {32: at_most(1.5), 8: None},
    "full": {32: at_most(1.5), 8: None},
}
_ENGINES = ("onnxruntime", "onnxruntime-default-memory", "torch")


def measure(place: Workplace) -> list[Figure]:
    """Return the ratios and times at batch 32 and 8."""
    return [
        figure
        for batch_size, target in _TARGETS[place.effort].items()
        for figure in _at(place, batch_size, target, _TURNS[place.effort])
    ]


def _at(place: Workplace, batch_size: int, target: Target | None, turns: int) -> list[Figure]:
    with ExitStack() as stack:
        steppers = [stack.enter_context(Stepper(place, name, batch_size)) for name in _ENGINES]
        measurements = [stepper.turn for stepper in steppers]
        product, plain, eager = interleave(measurements, turns)
    batch = f"batch {batch_size}"
    figures = [
        Figure(
            what=f"edge step / eager, {batch}, as the product runs",
            unit="",
            samples=ratios(product, eager),
            target=target,
        ),
        Figure(
            what=f"edge step / eager, {batch}, without memory setting",
            unit="",
            samples=ratios(plain, eager),
        ),
        Figure(what=f"edge step, {batch}, as the product runs", unit="ms", samples=tuple(product)),
        Figure(what=f"eager step, {batch}", unit="ms", samples=tuple(eager)),
    ]
    place.tell(f"{batch}: {figures[0].text} as the product runs, {figures[1].text} without")
    return figures


@dataclass
class Stepper:
    """One engine in its process."""

    place: Workplace
    engine: str
    batch_size: int

    def __enter__(self) -> "Stepper":  # noqa: PYI034
        images = f"folder:{self.place.images}"
        folder = str(self.place.bundle.folder)
        self._process = subprocess.Popen(
            python("benchmarks.step_process", self.engine, folder, images, str(self.batch_size)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def turn(self) -> float:
        """Do some steps and return the median of their milliseconds, less the first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{_STEPS}\n")
        self._process.stdin.flush()
        took: list[float] = json.loads(self._process.stdout.readline())
        return median(took[1:])
