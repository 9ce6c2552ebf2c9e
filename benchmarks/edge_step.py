"""A training step on the device, against PyTorch eager."""

from contextlib import ExitStack

from benchmarks.figures import Figure, Target, at_most, interleave, ratios
from benchmarks.stepper import python_stepper
from benchmarks.workplace import Workplace

TITLE = "Edge step against PyTorch eager"
HOW = """\
One step of `OrtLearner` (loss, update, and the features as the agent gets them) over one step of
PyTorch eager (same network, forward, loss, backward, `torch.optim.AdamW`, features as numpy), one
thread each, ResNet-18, separation point 2, torchvision stem, 32x32, real images. Each engine has a
process of its own; they take turns of five steps, of which the last four count by their median;
the ratio is taken per turn. "As the product runs" returns freed memory to the system as
`hiertk-edge run` does (`hiertk_edge/freed_memory.py`); "without memory setting" leaves glibc's
own."""

_TURNS = {"tiny": 2, "quick": 12, "full": 40}
_TARGETS: dict[str, dict[int, Target | None]] = {
    "tiny": {8: at_most(1.5)},
    "quick": {32: at_most(1.5), 8: None},
    "full": {32: at_most(1.5), 8: None},
}
_ENGINES = ("learner", "learner-default-memory", "eager")


def measure(place: Workplace) -> list[Figure]:
    """Return the ratios and times at batch 32 and 8."""
    return [
        figure
        for batch_size, target in _TARGETS[place.effort].items()
        for figure in _at(place, batch_size, target, _TURNS[place.effort])
    ]


def _at(place: Workplace, batch_size: int, target: Target | None, turns: int) -> list[Figure]:
    with ExitStack() as stack:
        steppers = [
            stack.enter_context(python_stepper(place.bundle, place.images, name, batch_size))
            for name in _ENGINES
        ]
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
