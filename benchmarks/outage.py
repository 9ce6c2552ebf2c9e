"""Accuracy of both exits, and time, with 0, 10 and 50 % of the run offline."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiertk.brokers import installed_broker
from hiertk.demo.watch import Watcher
from hiertk.line_process import LineProcess
from hiertk.link import ShapedLink
from hiertk_protocol.hiertk_pb2 import ModelStatus

from benchmarks.figures import Figure
from benchmarks.live_cloud import cloud_process, final_percent
from benchmarks.workplace import Workplace, environment, python, wait_for, write_images

TITLE = "Learning through an outage"
HOW = """\
Real processes and a real broker: one `hiertk-edge run` (ResNet-18, separation point 2, 32x32, ONNX
Runtime, batches of 32 from Fashion-MNIST) and one `hiertk-cloud serve`. Its link to the broker is
cut for a share of the device's steps and restored after three quarters of them; the runs of a seed
differ in nothing else. Accuracies on held-out images, in percent: of the early exit as the device
measures it, of the final exit as the cloud measures it on the features that it has got. "Before it
returns" is when the device has done three quarters of its steps; "at the end" is when the cloud
has trained on everything. The cloud here is slower than the device, with one core and replay, so
that the final exit is behind also without an outage, and the time is the cloud's: from the
device's first step until the cloud has trained on everything."""


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
_SHARES = (0.0, 0.1, 0.5)
_RETURN = 0.75  # of the steps
_BATCH = 32


@dataclass(frozen=True)
class _Accuracies:
    """Percent, at one moment."""

    early: float
    final: float


@dataclass(frozen=True)
class _Run:
    before_return: _Accuracies
    at_end: _Accuracies
    seconds: float


def measure(place: Workplace) -> list[Figure]:
    """Return the accuracies and times for each share of the run that is offline."""
    size = _SIZES[place.effort]
    folder = place.folder / "outage"
    folder.mkdir()
    train = write_images(folder / "train", "train", size.images)
    held_out = write_images(folder / "test", "test", size.held_out)
    runs: dict[float, list[_Run]] = {share: [] for share in _SHARES}
    for seed in range(size.seeds):
        for share, found in runs.items():
            stage = _Stage(place, folder / f"{share}-{seed}", train, held_out, size, seed)
            found.append(stage.play(share))
            place.tell(f"{share:.0%} offline, seed {seed}: {found[-1]}")
    return [figure for share, found in runs.items() for figure in _figures(share, found)]


def _figures(share: float, runs: list[_Run]) -> Iterator[Figure]:
    name = f"{share:.0%} offline"
    moments: tuple[tuple[str, Callable[[_Run], _Accuracies]], ...] = (
        ("before the link returns" if share else "after three quarters", _before_return),
        ("at the end", lambda run: run.at_end),
    )
    for moment, of in moments:
        for exit_ in ("early", "final"):
            yield Figure(
                what=f"{name}, {moment}: {exit_} exit",
                unit="%",
                samples=tuple(getattr(of(run), exit_) for run in runs),
            )
    yield Figure(
        what=f"{name}: until the cloud has everything",
        unit="s",
        samples=tuple(run.seconds for run in runs),
    )


def _before_return(run: _Run) -> _Accuracies:
    return run.before_return


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

    def play(self, offline: float) -> _Run:
        """Run device and cloud, and cut the link between them for a share of the steps."""
        self.folder.mkdir()
        with (
            installed_broker(self.folder / "broker") as broker,
            ShapedLink(broker.url) as link,
            Watcher(broker.url, self.place.bundle.manifest.deployment) as watcher,
            cloud_process(self.place.bundle, broker, self.folder / "cloud"),
        ):
            wait_for(lambda: watcher.now().model.state == ModelStatus.ONLINE)
            with self._device(link.url) as device:
                started, _ = device.wait_for(state="TRAINING")
                if offline:
                    _reach(device, self.steps * (_RETURN - offline))
                    link.cut()
                line = _reach(device, self.steps * _RETURN)
                before_return = _accuracies(line, watcher.now().model)
                if offline:
                    link.restore()
                _, line = device.wait_until(lambda line: line["state"] == "FINISHED")
            wait_for(lambda: watcher.now().model.consumed_total >= line["spooled_total"])
            seconds = time.monotonic() - started
            return _Run(before_return, _accuracies(line, watcher.now().model), seconds)

    def _device(self, broker: str) -> LineProcess:
        command = python(
            "hiertk_edge", "run", "--bundle", str(self.place.bundle.folder), "--broker", broker,
            "--device", "device", "--state", str(self.folder / "device"),
            "--data", f"folder:{self.train}", "--held-out", f"folder:{self.held_out}",
            "--epochs", str(self.size.epochs), "--seed", str(self.seed),
            "--batch-size", str(_BATCH), "--evaluate-every", str(max(self.steps // 8, 1)), "--json",
        )  # fmt: skip
        return LineProcess(command, core=0, environment=environment())


def _reach(device: LineProcess, step: float) -> dict[str, Any]:
    """Wait for a step of the device's; return its status then."""
    return device.wait_until(lambda line: line["edge_step"] >= step)[1]


def _accuracies(line: dict[str, Any], model: ModelStatus) -> _Accuracies:
    """Return what was measured last; 0 before the first time."""
    early = line["early_exit_held_out_accuracy"]
    return _Accuracies(100 * (early or 0.0), final_percent(model))
