"""Accuracy of both exits during and after an outage of half the run, against none."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiertk.brokers import Broker, installed_broker
from hiertk.demo.watch import Watcher
from hiertk.line_process import LineProcess
from hiertk.link import ShapedLink
from hiertk_protocol.hiertk_pb2 import DeviceStatus, ModelStatus

from benchmarks.figures import Figure
from benchmarks.workplace import Workplace, environment, python, write_images

TITLE = "Learning through an outage"
HOW = """\
Real processes and a real broker: one `hiertk-edge run` (ResNet-18, separation point 2, 32x32,
ONNX Runtime, batches of 32 from Fashion-MNIST) and one `hiertk-cloud serve`. After a quarter of the
device's steps its link to the broker is cut, and after three quarters it is restored; the other run
has the same seed and no outage. Accuracies on held-out images, in percent: of the early exit as the
device measures it, of the final exit as the cloud measures it on the features that it has got.
"During" is when the device has done three quarters of its steps; "at the end" is when the cloud has
trained on everything. The cloud here is slower than the device, with one core and replay, so that
"during" the final exit is behind also without an outage. "From the link's return until the cloud
has everything" tells how long it takes to catch up."""


@dataclass(frozen=True)
class _Size:
    images: int
    held_out: int
    epochs: int
    seeds: int


_SIZES = {
    "tiny": _Size(images=320, held_out=64, epochs=2, seeds=1),
    "quick": _Size(images=1600, held_out=500, epochs=2, seeds=1),
    "full": _Size(images=2400, held_out=1000, epochs=2, seeds=3),
}
_BATCH = 32
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class _Accuracies:
    """Percent, at one moment."""

    early: float
    final: float


@dataclass(frozen=True)
class _Run:
    during: _Accuracies
    at_end: _Accuracies
    catching_up_s: float


def measure(place: Workplace) -> list[Figure]:
    """Return the accuracies with an outage and without."""
    size = _SIZES[place.effort]
    folder = place.folder / "outage"
    folder.mkdir()
    train = write_images(folder / "train", "train", size.images)
    held_out = write_images(folder / "test", "test", size.held_out)
    undisturbed: list[_Run] = []
    cut: list[_Run] = []
    for seed in range(size.seeds):
        for name, runs in (("no outage", undisturbed), ("outage", cut)):
            stage = _Stage(place, folder / f"{name}-{seed}", train, held_out, size, seed)
            runs.append(stage.play(is_cut=runs is cut))
            place.tell(f"{name}, seed {seed}: {runs[-1]}")
    return [
        *_figures("outage", cut),
        *_figures("no outage", undisturbed),
        Figure(
            what="outage: from the link's return until the cloud has everything",
            unit="s",
            samples=tuple(run.catching_up_s for run in cut),
        ),
    ]


def _figures(name: str, runs: list[_Run]) -> Iterator[Figure]:
    moments: tuple[tuple[str, Callable[[_Run], _Accuracies]], ...] = (
        ("during", lambda run: run.during),
        ("at the end", lambda run: run.at_end),
    )
    for moment, of in moments:
        for exit_ in ("early", "final"):
            yield Figure(
                what=f"{name}, {moment}: {exit_} exit",
                unit="%",
                samples=tuple(getattr(of(run), exit_) for run in runs),
            )


@dataclass(frozen=True)
class _Stage:
    place: Workplace
    folder: Path
    train: Path
    held_out: Path
    size: _Size
    seed: int

    @property
    def steps(self) -> int:
        return self.size.images // _BATCH * self.size.epochs

    def play(self, *, is_cut: bool) -> _Run:
        """Run device and cloud, and cut the link between them if asked to."""
        self.folder.mkdir()
        with (
            installed_broker(self.folder / "broker") as broker,
            ShapedLink(broker.url) as link,
            Watcher(broker.url, self.place.bundle.manifest.deployment) as watcher,
            self._cloud(broker),
        ):
            _wait(lambda: watcher.now().model.state == ModelStatus.ONLINE)
            with self._device(link.url) as device:
                device.wait_until(lambda line: line["edge_step"] >= self.steps // 4)
                if is_cut:
                    link.cut()
                _, line = device.wait_until(lambda line: line["edge_step"] >= self.steps * 3 // 4)
                during = _accuracies(line, watcher.now().model)
                returned = time.monotonic()
                if is_cut:
                    link.restore()
                _, line = device.wait_until(lambda line: line["state"] == "FINISHED")
            _wait(lambda: _has_all(watcher))
            caught_up = time.monotonic() - returned
            return _Run(during, _accuracies(line, watcher.now().model), caught_up)

    def _cloud(self, broker: Broker) -> LineProcess:
        command = python(
            "hiertk_cloud", "serve", "--bundle", str(self.place.bundle.folder),
            "--broker", broker.url, "--state", str(self.folder / "cloud"), "--api", "", "--json",
        )  # fmt: skip
        return LineProcess(command, core=1, environment=environment())

    def _device(self, broker: str) -> LineProcess:
        command = python(
            "hiertk_edge", "run", "--bundle", str(self.place.bundle.folder), "--broker", broker,
            "--device", "device", "--state", str(self.folder / "device"),
            "--data", f"folder:{self.train}", "--held-out", f"folder:{self.held_out}",
            "--epochs", str(self.size.epochs), "--seed", str(self.seed),
            "--batch-size", str(_BATCH), "--evaluate-every", str(max(self.steps // 8, 1)), "--json",
        )  # fmt: skip
        return LineProcess(command, core=0, environment=environment())


def _has_all(watcher: Watcher) -> bool:
    now = watcher.now()
    device = now.devices.get("device", DeviceStatus())
    is_done = device.state == DeviceStatus.FINISHED
    return is_done and now.model.consumed_total >= device.spooled_total


def _accuracies(line: dict[str, Any], model: ModelStatus) -> _Accuracies:
    """Return what was measured last; 0 before the first time."""
    early = line["early_exit_held_out_accuracy"]
    final = model.final_exit_held_out_accuracy
    return _Accuracies(100 * (early or 0.0), 0.0 if math.isnan(final) else 100 * final)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the cloud does not get there")
        time.sleep(0.2)
