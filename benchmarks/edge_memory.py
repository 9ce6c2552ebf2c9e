"""Peak memory of the whole edge process, next to a real broker and a real cloud."""

import subprocess
from pathlib import Path

from hiertk.brokers import installed_broker
from hiertk.demo.processes import Children

from benchmarks.figures import Figure, at_most
from benchmarks.workplace import Workplace, environment, python

TITLE = "Peak memory of the edge process"
HOW = """\
`hiertk-edge run` as a whole process, real bundle and PNG images, over a real broker to
`hiertk-cloud serve`, until the spool is empty. The figure is ru_maxrss of `wait4`: resident memory
at its peak, shared libraries included. It is started by a small process of its own, else Linux
counts the starter's memory too. MB are 10^6 bytes."""

_RUNS = {"tiny": 1, "quick": 1, "full": 2}
_TARGETS = {32: 120.0, 8: 100.0}
_BATCH_SIZES = {"tiny": (8,), "quick": (32, 8), "full": (32, 8)}


def measure(place: Workplace) -> list[Figure]:
    """Return the peaks at batch 32 and 8, with and without evaluation on held-out images."""
    folder = place.folder / "memory"
    folder.mkdir()
    with installed_broker(folder / "broker") as broker, Children(folder) as children:
        children.start(
            "cloud", "hiertk_cloud", "serve",
            "--bundle", str(place.bundle.folder), "--broker", broker.url,
            "--state", str(folder / "cloud"), "--replay", "0",
        )  # fmt: skip
        return [
            _peak(place, folder, broker.url, batch_size, held_out=held_out)
            for held_out in (False, True)
            for batch_size in _BATCH_SIZES[place.effort]
        ]


def _peak(
    place: Workplace, folder: Path, broker: str, batch_size: int, *, held_out: bool
) -> Figure:
    what = f"edge process, batch {batch_size}{', with held-out evaluation' if held_out else ''}"
    samples = []
    for number in range(_RUNS[place.effort]):
        name = f"device-{batch_size}-{int(held_out)}-{number}"
        arguments = [
            "run", "--bundle", str(place.bundle.folder), "--broker", broker, "--device", name,
            "--data", f"folder:{place.images}", "--state", str(folder / name),
            "--batch-size", str(batch_size), "--json",
        ]  # fmt: skip
        if held_out:
            arguments += ["--held-out", f"folder:{place.held_out}", "--evaluate-every", "50"]
        samples.append(peak_bytes(python("hiertk_edge", *arguments)) / 1e6)
        place.tell(f"{what}: {samples[-1]:.1f} MB")
    target = at_most(_TARGETS[batch_size])
    return Figure(what=what, unit="MB", samples=tuple(samples), target=target)


def peak_bytes(command: list[str]) -> int:
    """Run a command to its end and return its peak resident memory."""
    done = subprocess.run(
        python("benchmarks.peak_memory", *command),
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    return int(done.stderr.splitlines()[-1])
