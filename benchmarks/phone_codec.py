"""The phone's codec on a JVM, against Python's."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hiertk_edge.learner import Float32Array
from hiertk_protocol.codec import encode, quantize

from benchmarks.figures import Figure, at_most, interleave, ratios
from benchmarks.phone import java
from benchmarks.workplace import Workplace, environment

TITLE = "The phone's codec against Python's"
HOW = """\
Quantizing, packing and compressing a batch of 32 features of ResNet-18 at separation point 2 on
Fashion-MNIST after some training: Kotlin on this machine's JVM over Python with numpy, one thread
each, by turns after a warm-up. It says nothing of the speed of a phone."""

_TURNS = {"tiny": 2, "quick": 15, "full": 60}
_REPETITIONS = {"tiny": 2, "quick": 20, "full": 20}
_WARM_UP = {"tiny": 2, "quick": 300, "full": 300}

Ask = Callable[[int, int], tuple[float, int]]


def measure(place: Workplace) -> list[Figure]:
    """Return ratios, times and payloads at 8 and 4 bits."""
    (result, _), *_ = place.trained_features(1)
    with _kotlin(place, result.features) as ask:
        return [figure for bits in (8, 4) for figure in _at(place, bits, result.features, ask)]


def _at(place: Workplace, bits: int, features: Float32Array, ask: Ask) -> list[Figure]:
    repetitions = _REPETITIONS[place.effort]
    _, payload = ask(bits, _WARM_UP[place.effort])

    def python_ms() -> float:
        started = time.perf_counter()
        for _ in range(repetitions):
            encode(quantize(features, bits))
        return 1000 * (time.perf_counter() - started) / repetitions

    ours, theirs = interleave(
        [lambda: 1000 * ask(bits, repetitions)[0], python_ms], _TURNS[place.effort]
    )
    name = f"{bits} bits"
    figures = [
        Figure(
            what=f"phone's encoding / Python's, {name}",
            unit="",
            samples=ratios(ours, theirs),
            target=at_most(2),
        ),
        Figure(what=f"phone's encoding on a JVM, {name}", unit="ms", samples=tuple(ours)),
        Figure(what=f"Python's encoding, {name}", unit="ms", samples=tuple(theirs)),
        Figure(
            what=f"phone's payload / Python's, {name}",
            unit="",
            samples=(payload / len(encode(quantize(features, bits)).payload),),
        ),
    ]
    place.tell(f"{name}: {figures[0].text}")
    return figures


@contextmanager
def _kotlin(place: Workplace, features: Float32Array) -> Iterator[Ask]:
    """Start the codec on a JVM; yield what encodes `repetitions` times.

    It returns seconds for one, and the payload's bytes.
    """
    file = place.folder / "features.f32"
    file.write_bytes(features.astype("<f4").tobytes())
    shape = [str(size) for size in features.shape]
    command = java("core", "org.hiertk.core.codec.CodecBenchKt", str(file), *shape)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def ask(bits: int, repetitions: int) -> tuple[float, int]:
            questions.write(f"{bits} {repetitions}\n")
            questions.flush()
            seconds, payload = answers.readline().split()
            return float(seconds), int(payload)

        yield ask
        questions.close()
