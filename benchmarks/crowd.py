"""One, four and sixteen devices with the same images between them, evenly or by class."""

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from hiertk.brokers import Broker, installed_broker
from hiertk.data import load, write_image_folder
from hiertk.demo.watch import Watcher
from hiertk.line_process import LineProcess
from hiertk_protocol.hiertk_pb2 import ModelStatus

from benchmarks.figures import Figure
from benchmarks.live_cloud import cloud_process, final_percent
from benchmarks.workplace import Workplace, environment, python, wait_for, write_images

TITLE = "Devices with skewed classes"
HOW = """\
Real processes and a real broker: several `hiertk-edge run` (ResNet-18, separation point 2, 32x32,
ONNX Runtime) on one core and one `hiertk-cloud serve` on the other. The same images of
Fashion-MNIST are shared out, at random ("even") or sorted by class ("skewed": each of four devices
has three or four of the ten classes, each of sixteen has one or two), and gone through twice.
Nothing is averaged between devices: each has an edge partition of its own, and the cloud partition
learns from the features of all. Accuracies on held-out images, in percent: of the devices' early
exits the mean, of the final exit as the cloud measures it on all devices' features. The images are
of all classes; with "own classes" each device is asked about the classes that it has seen, as it
would be where it stands. The time is from the first device's start until the cloud has trained on
everything."""

_DATA = "fashion-mnist-mini"
_EPOCHS = 2
_KINDS = ("even", "skewed", "own classes")


@dataclass(frozen=True)
class _Size:
    images: int
    held_out: int
    batch: int
    devices: tuple[int, ...]


_SIZES = {
    "tiny": _Size(images=64, held_out=20, batch=8, devices=(2,)),
    "quick": _Size(images=1200, held_out=200, batch=16, devices=(1, 4)),
    "full": _Size(images=4800, held_out=300, batch=16, devices=(1, 4, 16)),
}


@dataclass(frozen=True)
class _Found:
    early: float
    final: float
    seconds: float


def measure(place: Workplace) -> list[Figure]:
    """Return accuracies and times for each number of devices, and how classes are shared out."""
    size = _SIZES[place.effort]
    folder = place.folder / "crowd"
    folder.mkdir()
    held_out = write_images(folder / "test", "test", size.held_out)
    figures = []
    for devices in size.devices:
        for kind in _KINDS if devices > 1 else _KINDS[:1]:
            own = folder / f"{devices}-{kind}"
            shares = _shares(own, size.images, devices, skewed=kind != "even")
            asked = [held_out] * devices
            if kind == "own classes":
                asked = [_of_classes(held_out, share, own) for share in shares]
            found = _Stage(place, own, shares, asked, size.batch).play()
            name = "1 device" if devices == 1 else f"{devices} devices, {kind}"
            place.tell(f"{name}: {found}")
            figures += _figures(name, found)
    return figures


def _figures(name: str, found: _Found) -> list[Figure]:
    return [
        Figure(what=f"{name}: early exits", unit="%", samples=(found.early,)),
        Figure(what=f"{name}: final exit", unit="%", samples=(found.final,)),
        Figure(what=f"{name}: until all is trained", unit="s", samples=(found.seconds,)),
    ]


def _shares(folder: Path, count: int, devices: int, *, skewed: bool) -> list[Path]:
    """Write each device's images and return the folders."""
    images = load(_DATA, "train")
    numbers = np.random.default_rng(0).permutation(count)
    if skewed:
        labels = np.array([images.items[int(number)][1] for number in numbers])
        numbers = numbers[np.argsort(labels, kind="stable")]
    folders = []
    for device, share in enumerate(np.array_split(numbers, devices)):
        folders.append(folder / f"images-{device}")
        write_image_folder(images, share.tolist(), folders[-1])
    return folders


def _of_classes(held_out: Path, share: Path, folder: Path) -> Path:
    """Return a folder with the held-out images of the classes that a share has."""
    found = folder / f"held-out-{share.name}"
    for label in (one for one in share.iterdir() if any(one.iterdir())):
        shutil.copytree(held_out / label.name, found / label.name)
    return found


@dataclass(frozen=True)
class _Stage:
    place: Workplace
    folder: Path
    shares: Sequence[Path]
    held_out: Sequence[Path]
    batch: int

    def play(self) -> _Found:
        """Run all devices and the cloud to the end."""
        deployment = self.place.bundle.manifest.deployment
        with (
            installed_broker(self.folder / "broker") as broker,
            Watcher(broker.url, deployment) as watcher,
            cloud_process(self.place.bundle, broker, self.folder / "cloud"),
            ExitStack() as stack,
        ):
            wait_for(lambda: watcher.now().model.state == ModelStatus.ONLINE)
            started = time.monotonic()
            devices = [
                stack.enter_context(self._device(number, broker))
                for number in range(len(self.shares))
            ]
            last = [device.wait_for(event="summary", finished=True)[1] for device in devices]
            sent = sum(line["spooled_total"] for line in last)
            wait_for(lambda: watcher.now().model.consumed_total >= sent)
            seconds = time.monotonic() - started
            return _Found(_early(last), final_percent(watcher.now().model), seconds)

    def _device(self, number: int, broker: Broker) -> LineProcess:
        command = python(
            "hiertk_edge", "run", "--bundle", str(self.place.bundle.folder),
            "--broker", broker.url, "--device", f"device-{number}",
            "--state", str(self.folder / f"device-{number}"),
            "--data", f"folder:{self.shares[number]}",
            "--held-out", f"folder:{self.held_out[number]}",
            "--epochs", str(_EPOCHS), "--batch-size", str(self.batch), "--json",
        )  # fmt: skip
        return LineProcess(command, core=0, environment=environment())


def _early(lines: Sequence[dict[str, Any]]) -> float:
    return 100 * fmean(line["early_exit_held_out_accuracy"] for line in lines)
