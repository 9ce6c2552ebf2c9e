"""The main job from end to end: export, broker, cloud, devices, and what came of it."""

import time
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import TransportError
from hiertk_protocol.files import atomic_file
from rich.console import Console

from hiertk.data import ImageSet, load, write_image_folder
from hiertk.demo.live import LiveView
from hiertk.demo.picture import draw
from hiertk.demo.processes import Child, Children
from hiertk.demo.results import Results, collect, count_log, print_results, to_json
from hiertk.demo.stage import (
    LOOK_EVERY_S,
    dashboard_line,
    finished_folder,
    is_consumed,
    open_broker,
    start_cloud,
    wait_for_cloud,
)
from hiertk.demo.watch import Moment, Watcher
from hiertk.export import ExportSettings, export_bundle


@dataclass(frozen=True)
class DemoSettings:
    """One run. limit: training images at most; a sixth as many are held out."""

    runs: Path
    devices: int
    epochs: int
    data: str
    limit: int
    broker: str


@dataclass(frozen=True)
class Shares:
    """The images as devices read them: one folder each, and the held-out ones."""

    training: list[Path]
    held_out: Path
    training_images: int
    held_out_images: int
    png_bytes_per_sample: float


def run_demo(settings: DemoSettings, *, as_json: bool) -> Results:
    """Run the main job; the run's folder appears when all of it is there.

    Raises the error tree; leaves no process and no half-written run behind.
    """
    console = Console(stderr=as_json)
    with finished_folder(settings.runs, "demo") as (folder, finished):
        results = _run(settings, folder, console)
    if as_json:
        print(to_json(results))
    else:
        print_results(results, console)
    console.print(f"Picture, JSON, bundle and logs: {finished}", soft_wrap=True)
    return results


def _run(settings: DemoSettings, folder: Path, console: Console) -> Results:
    train, test = load(settings.data, "train"), load(settings.data, "test")
    console.print("Exporting resnet18, separation point 2, and checking it against PyTorch")
    bundle = export_bundle(
        ExportSettings(
            model="resnet18", split=2, target="linux", classes=train.classes, out=folder / "bundle"
        )
    ).bundle
    console.print("Writing the images as the devices find them: one PNG file each")
    shares = _share_out(train, test, settings, folder)
    with open_broker(settings.broker, folder / "broker") as broker:
        console.print(f"Training online over {broker.name} on {broker.url}")
        with (
            Watcher(broker.url, bundle.manifest.deployment) as watcher,
            Children(folder) as children,
            LiveView(console) as view,
        ):
            stage = _Stage(settings, folder, shares, bundle, broker.url, children, view)
            moment = stage.play(watcher)
    results = collect(
        moment,
        bundle.manifest,
        count_log(folder / "cloud" / "log.sqlite"),
        png_bytes_per_sample=shares.png_bytes_per_sample,
        training_images=shares.training_images,
        held_out_images=shares.held_out_images,
        epochs=settings.epochs,
        broker=broker.name,
    )
    with atomic_file(folder / "results.json") as temporary:
        temporary.write_text(to_json(results) + "\n")
    draw(watcher.history, results, folder / "summary.png")
    return results


@dataclass(frozen=True)
class _Stage:
    """Everything that the cloud and the devices need to start."""

    settings: DemoSettings
    folder: Path
    shares: Shares
    bundle: Bundle
    broker_url: str
    children: Children
    view: LiveView

    def play(self, watcher: Watcher) -> Moment:
        """Run cloud and devices until everything sent is trained on; return the last state."""
        cloud = start_cloud(self.children, self.folder, self.bundle, self.broker_url)
        wait_for_cloud(cloud, watcher, self.view.show)
        if line := dashboard_line(cloud):
            self.view.say(line)
        devices = [
            self._start_device(number, images)
            for number, images in enumerate(self.shares.training, start=1)
        ]
        return self._watch_until_trained(cloud, devices, watcher)

    def _start_device(self, number: int, images: Path) -> Child:
        batch = self.bundle.manifest.engine.batch_size
        steps_per_pass = self.shares.training_images // len(self.shares.training) // batch
        name = f"device-{number}"
        return self.children.start(
            name, "hiertk_edge", "run",
            "--bundle", str(self.bundle.folder), "--broker", self.broker_url,
            "--device", name, "--state", str(self.folder / name), "--seed", str(number),
            "--data", f"folder:{images}", "--held-out", f"folder:{self.shares.held_out}",
            "--epochs", str(self.settings.epochs),
            "--evaluate-every", str(max(steps_per_pass, 1)),
        )  # fmt: skip

    def _watch_until_trained(self, cloud: Child, devices: list[Child], watcher: Watcher) -> Moment:
        while True:
            moment = watcher.now()
            self.view.show(moment)
            if cloud.is_done:
                raise TransportError(f"the cloud service ended early: see {cloud.log}")
            done = [device.is_done for device in devices]
            if all(done) and is_consumed(moment):
                return moment
            time.sleep(LOOK_EVERY_S)


def _share_out(train: ImageSet, test: ImageSet, settings: DemoSettings, folder: Path) -> Shares:
    count = min(settings.limit, len(train))
    held_out_count = min(max(count // 6, 50), len(test))
    folders, size = [], 0
    for number in range(settings.devices):
        path = folder / f"images-{number + 1}"
        size += write_image_folder(train, range(number, count, settings.devices), path)
        folders.append(path)
    held_out = folder / "images-held-out"
    write_image_folder(test, range(held_out_count), held_out)
    return Shares(folders, held_out, count, held_out_count, size / count)
