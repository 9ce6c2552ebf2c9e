"""How a device's step grows with the input, the batch and the separation point."""

from contextlib import ExitStack
from dataclasses import dataclass

from hiertk_protocol.bundle import Bundle

from benchmarks.figures import Figure, interleave, ratios
from benchmarks.stepper import Stepper, python_stepper
from benchmarks.workplace import Effort, Workplace, export_resnet18

TITLE = "Growth of a device's step"
HOW = """\
`OrtLearner` as `hiertk-edge` runs it, ResNet-18, one thread, real images, a process for each. What
is changed is named; the rest is separation point 2, 32x32, batch 32, which each is compared with,
by turns of five steps, of which the last four count by their median; the ratio is taken per turn.
The memory is the whole process's at its peak: engine, network, a few prepared images.
How the cloud grows with devices is in "Devices per cloud"; its time by separation point comes from
`hiertk profile`."""

_TURNS = {"tiny": 2, "quick": 6, "full": 15}


@dataclass(frozen=True)
class _Size:
    """What a step is measured at."""

    split: int = 2
    input_size: int = 32
    batch_size: int = 32

    @property
    def text(self) -> str:
        base = _Size()
        if self.input_size != base.input_size:
            return f"{self.input_size}x{self.input_size}"
        if self.batch_size != base.batch_size:
            return f"batch {self.batch_size}"
        return f"separation point {self.split}"


_FULL = (
    *(_Size(input_size=size) for size in (64, 96, 128)),
    *(_Size(batch_size=size) for size in (8, 16, 64)),
    *(_Size(split=split) for split in (1, 4, 6, 8)),
)
_SIZES: dict[Effort, tuple[_Size, ...]] = {
    "tiny": (_Size(batch_size=8),),
    "quick": (_FULL[0], _FULL[3], _FULL[7]),
    "full": _FULL,
}


def measure(place: Workplace) -> list[Figure]:
    """Return for each size its step over the base's, its milliseconds, and its memory."""
    return [figure for size in _SIZES[place.effort] for figure in _at(place, size)]


def _at(place: Workplace, size: _Size) -> list[Figure]:
    with ExitStack() as stack:
        steppers = [stack.enter_context(_stepper(place, one)) for one in (size, _Size())]
        times, base = interleave([one.turn for one in steppers], _TURNS[place.effort])
    memory = tuple(one.peak_bytes / 1e6 for one in steppers)
    figures = [
        Figure(what=f"{size.text}: step / base", unit="", samples=ratios(times, base)),
        Figure(what=f"{size.text}: step", unit="ms", samples=tuple(times)),
        Figure(what=f"{size.text}: memory", unit="MB", samples=memory[:1]),
        Figure(what=f"{size.text}: memory of the base", unit="MB", samples=memory[1:]),
    ]
    place.tell(f"{figures[0].text}, {figures[2].text}")
    return figures


def _stepper(place: Workplace, size: _Size) -> Stepper:
    bundle = place.bundle if size.split == 2 and size.input_size == 32 else _exported(place, size)
    return python_stepper(bundle, place.images, "learner", size.batch_size)


def _exported(place: Workplace, size: _Size) -> Bundle:
    folder = place.folder / f"growth-{size.split}-{size.input_size}"
    return export_resnet18(folder, split=size.split, input_size=size.input_size)
