"""Peak memory of the whole edge process, next to a real broker and a real cloud."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk.brokers import installed_broker
from hiertk.demo.processes import Children
from hiertk_protocol.bundle import Bundle

from benchmarks.cases import SMALL, Case, export_case
from benchmarks.figures import Figure, at_most
from benchmarks.workplace import Effort, Workplace, environment, python, write_images

TITLE = "Peak memory of the edge process"
HOW = """\
`hiertk-edge run` as a whole process, real bundle and PNG images, over a real broker to
`hiertk-cloud serve`, until the spool is empty. The figure is ru_maxrss of `wait4`: resident memory
at its peak, shared libraries included. It is started by a small process of its own, else Linux
counts the starter's memory too. MB are 10^6 bytes. That is ONNX Runtime's, with ResNet-18 at
separation point 2. "What training adds" is the same for bundles of `rpi`, 32x32, ResNet-18 with the
3x3 stem, 320 images, over what the process held once PyTorch was imported: builds of PyTorch differ
more than networks do, and its import takes more for a moment than a small network's training."""

_RUNS = {"tiny": 1, "quick": 1, "full": 2}
_TARGETS = {32: 120.0, 8: 100.0}
_BATCH_SIZES = {"tiny": (8,), "quick": (32, 8), "full": (32, 8)}
_NETWORKS = (
    ("resnet18", 2, "3x3"),
    ("vgg16", 2, "torchvision"),
    ("mobilenet_v2", 3, "torchvision"),
)
_RPI_IMAGES = {"tiny": 16, "quick": 320, "full": 320}


def measure(place: Workplace) -> list[Figure]:
    """Return the peaks of ONNX Runtime, with and without held-out images, and of the others."""
    folder = place.folder / "memory"
    folder.mkdir()
    with installed_broker(folder / "broker") as broker:
        with _cloud(place.bundle, folder / "cloud", broker.url):
            figures = [
                _onnxruntime(place, broker.url, batch_size, held_out=held_out)
                for held_out in (False, True)
                for batch_size in _BATCH_SIZES[place.effort]
            ]
        return figures + [
            _rpi(place, broker.url, case, backend) for case, backend in _cases(place.effort)
        ]


def _cases(effort: Effort) -> list[tuple[Case, str]]:
    """Return what is exported for the Raspberry Pi, with the backend."""
    if effort == "tiny":
        return [(SMALL, "executorch")]
    return [
        (Case(*network, batch_size), backend)
        for network in _NETWORKS
        for batch_size in _BATCH_SIZES[effort]
        for backend in ("executorch", "torch")
    ]


def _onnxruntime(place: Workplace, broker: str, batch_size: int, *, held_out: bool) -> Figure:
    what = f"edge process, batch {batch_size}{', with held-out evaluation' if held_out else ''}"
    samples = []
    for number in range(_RUNS[place.effort]):
        state = place.folder / "memory" / f"device-{batch_size}-{int(held_out)}-{number}"
        arguments = _run(place.bundle, broker, place.images, state)
        arguments += ["--batch-size", str(batch_size)]
        if held_out:
            arguments += ["--held-out", f"folder:{place.held_out}", "--evaluate-every", "50"]
        samples.append(peak_bytes(python("hiertk_edge", *arguments)) / 1e6)
        place.tell(f"{what}: {samples[-1]:.1f} MB")
    target = at_most(_TARGETS[batch_size])
    return Figure(what=what, unit="MB", samples=tuple(samples), target=target)


def _rpi(place: Workplace, broker: str, case: Case, backend: str) -> Figure:
    what = f"what training adds, {backend}, {case}"
    place.tell(f"exporting {case} for {backend}")
    folder = place.folder / "memory" / f"{backend}, {case}"
    bundle = export_case(case, folder / "bundle", backend=backend, target="rpi")
    images = write_images(place.folder / "rpi-train", "train", _RPI_IMAGES[place.effort])
    samples = []
    with _cloud(bundle, folder / "cloud", broker):
        for number in range(_RUNS[place.effort]):
            arguments = _run(bundle, broker, images, folder / f"device-{number}")
            samples.append(added_bytes(arguments) / 1e6)
            place.tell(f"{what}: {samples[-1]:.1f} MB")
    return Figure(what=what, unit="MB", samples=tuple(samples))


@contextmanager
def _cloud(bundle: Bundle, state: Path, broker: str) -> Iterator[None]:
    with Children(state.parent) as children:
        children.start(
            "cloud", "hiertk_cloud", "serve", "--bundle", str(bundle.folder), "--broker", broker,
            "--state", str(state), "--replay", "0", "--api", "",
        )  # fmt: skip
        yield


def _run(bundle: Bundle, broker: str, images: Path, state: Path) -> list[str]:
    return [
        "run", "--bundle", str(bundle.folder), "--broker", broker, "--device", state.name,
        "--data", f"folder:{images}", "--state", str(state), "--json",
    ]  # fmt: skip


def peak_bytes(command: list[str]) -> int:
    """Run a command to its end and return its peak resident memory."""
    return int(_last_line(python("benchmarks.peak_memory", *command)))


def added_bytes(arguments: list[str]) -> int:
    """Run `hiertk-edge` to its end; return what its peak takes beyond a process with PyTorch."""
    before, peak = _last_line(python("benchmarks.added_memory", *arguments)).split()
    return int(peak) - int(before)


def _last_line(command: list[str]) -> str:
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True,
        env=environment(),
    )  # fmt: skip
    return done.stderr.splitlines()[-1]
