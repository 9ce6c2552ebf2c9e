"""A training step of the phone's learner on a JVM, against Python's."""

from contextlib import ExitStack

from benchmarks.figures import Figure, at_most, interleave, ratios
from benchmarks.phone import engine_library, java
from benchmarks.stepper import Stepper, python_stepper
from benchmarks.workplace import Workplace

TITLE = "The phone's step against Python's"
HOW = """\
One step of the phone's `OrtLearner` on this machine's JVM over one of the Python learner: the same
engine, the same bundle (ResNet-18, separation point 2, 32x32), one thread and a process each, turns
of five steps, of which the last four count by their median; the ratio is taken per turn. What it
measures is what Kotlin and JNI add. It says nothing of the speed of a phone."""

_TURNS = {"tiny": 2, "quick": 12, "full": 40}
_WARM_UP = {"tiny": 0, "quick": 4, "full": 4}
_BATCHES = {"tiny": (8,), "quick": (32, 8), "full": (32, 8)}


def measure(place: Workplace) -> list[Figure]:
    """Return the ratios and times for each batch size."""
    return [figure for size in _BATCHES[place.effort] for figure in _at(place, size)]


def _at(place: Workplace, batch_size: int) -> list[Figure]:
    with ExitStack() as stack:
        phone = stack.enter_context(Stepper(_command(place, batch_size)))
        product, plain = (
            stack.enter_context(python_stepper(place.bundle, place.images, engine, batch_size))
            for engine in ("learner", "learner-default-memory")
        )
        for _ in range(_WARM_UP[place.effort]):
            phone.turn()
        turns = [one.turn for one in (phone, plain, product)]
        ours, theirs, as_run = interleave(turns, _TURNS[place.effort])
    batch = f"batch {batch_size}"
    figures = [
        Figure(
            what=f"phone's step / Python's, {batch}",
            unit="",
            samples=ratios(ours, theirs),
            target=at_most(1.1),
        ),
        Figure(
            what=f"phone's step / Python's with `hiertk-edge`'s memory setting, {batch}",
            unit="",
            samples=ratios(ours, as_run),
        ),
        Figure(what=f"phone's step on a JVM, {batch}", unit="ms", samples=tuple(ours)),
        Figure(what=f"Python's step, {batch}", unit="ms", samples=tuple(theirs)),
    ]
    place.tell(f"{batch}: {figures[0].text}")
    return figures


def _command(place: Workplace, batch_size: int) -> list[str]:
    return java(
        "learner-ort",
        "org.hiertk.learner.ort.StepBenchKt",
        str(place.bundle.folder),
        str(batch_size),
        onnxruntime_native_onnxruntime_path=engine_library(),
    )
