"""The export from the command line, as a whole process."""

import subprocess
import time

from benchmarks.figures import Figure, at_most
from benchmarks.workplace import Workplace, environment, python

TITLE = "Export"
HOW = """\
Wall time of `hiertk export --model resnet18 --split 2 --target android`: start of Python, export,
parity check against PyTorch and writing of the bundle."""

_RUNS = {"tiny": 1, "quick": 1, "full": 3}


def measure(place: Workplace) -> list[Figure]:
    """Return the seconds of an export."""
    samples = []
    for number in range(_RUNS[place.effort]):
        folder = place.folder / f"export-{number}"
        folder.mkdir()
        command = ("export", "--model", "resnet18", "--split", "2", "--target", "android")
        started = time.monotonic()
        subprocess.run(
            python("hiertk", *command), cwd=folder, capture_output=True, check=True,
            env=environment(),
        )  # fmt: skip
        samples.append(time.monotonic() - started)
        place.tell(f"export: {samples[-1]:.1f} s")
    return [
        Figure(
            what="export of ResNet-18, separation point 2, for android",
            unit="s",
            samples=tuple(samples),
            target=at_most(30),
        )
    ]
