"""The main job from end to end: export, broker, cloud, devices, and what came of it."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError, TransportError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.hiertk_pb2 import ModelStatus
from rich.console import Console

from hiertk.brokers import Broker, EmbeddedBroker, MosquittoBroker, installed_broker
from hiertk.data import ImageSet, load, write_image_folder
from hiertk.demo.live import LiveView
from hiertk.demo.picture import draw
from hiertk.demo.processes import Child, Children
from hiertk.demo.results import Results, collect, count_log, print_results, to_json
from hiertk.demo.watch import Moment, Watcher
from hiertk.export import ExportSettings, export_bundle

_CLOUD_START_TIMEOUT_S = 90.0
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class DemoSettings:
    """One run. limit: use only so many training images (and a sixth as many held-out ones)."""

    runs: Path
    devices: int
    epochs: int
    data: str
    limit: int | None
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
    name = time.strftime("demo-%Y%m%d-%H%M%S")
    settings.runs.mkdir(parents=True, exist_ok=True)
    folder = settings.runs / f".{name}.unfinished"
    folder.mkdir()
    try:
        results = _run(settings, folder, console)
        folder.rename(settings.runs / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print(to_json(results))
    else:
        print_results(results, console)
    console.print(f"Picture, JSON, bundle and logs: {settings.runs / name}", soft_wrap=True)
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
    broker = _broker(settings.broker, folder / "broker")
    with broker:
        watcher = Watcher(broker.url, bundle.manifest.deployment)
        watcher.start()
        try:
            console.print(f"Training online over {broker.name} on {broker.url}")
            moment = _train(settings, folder, shares, bundle, broker, watcher, console)
        finally:
            watcher.stop()
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


def _train(
    settings: DemoSettings,
    folder: Path,
    shares: Shares,
    bundle: Bundle,
    broker: Broker,
    watcher: Watcher,
    console: Console,
) -> Moment:
    """Run cloud and devices until everything sent is trained on; return the last state."""
    with Children(folder) as children, LiveView(console) as view:
        common = ("--bundle", str(bundle.folder), "--broker", broker.url)
        cloud = children.start(
            "cloud", "hiertk_cloud", "serve", *common, "--state", str(folder / "cloud")
        )
        _wait_for_cloud(cloud, watcher, view)
        devices = []
        for number, images in enumerate(shares.training, start=1):
            steps = shares.training_images // len(shares.training)
            steps //= bundle.manifest.engine.batch_size
            devices.append(
                children.start(
                    f"device-{number}", "hiertk_edge", "run", *common,
                    "--device", f"device-{number}", "--data", f"folder:{images}",
                    "--held-out", f"folder:{shares.held_out}", "--epochs", str(settings.epochs),
                    "--evaluate-every", str(max(steps, 1)), "--seed", str(number),
                    "--state", str(folder / f"device-{number}"),
                )
            )
        return _watch_until_trained(cloud, devices, watcher, view)


def _wait_for_cloud(cloud: Child, watcher: Watcher, view: LiveView) -> None:
    deadline = time.monotonic() + _CLOUD_START_TIMEOUT_S
    while True:
        moment = watcher.now()
        if moment.model.state == ModelStatus.ONLINE:
            return
        if cloud.is_done or time.monotonic() > deadline:
            raise TransportError(f"the cloud service is not online: see {cloud.log}")
        view.show(moment)
        time.sleep(_LOOK_EVERY_S)


def _watch_until_trained(
    cloud: Child, devices: list[Child], watcher: Watcher, view: LiveView
) -> Moment:
    while True:
        moment = watcher.now()
        view.show(moment)
        if cloud.is_done:
            raise TransportError(f"the cloud service ended early: see {cloud.log}")
        done = [device.is_done for device in devices]
        if all(done) and _is_consumed(moment):
            return moment
        time.sleep(_LOOK_EVERY_S)


def _is_consumed(moment: Moment) -> bool:
    sent = sum(device.spooled_total for device in moment.devices.values())
    return moment.model.consumed_total >= sent > 0


def _share_out(train: ImageSet, test: ImageSet, settings: DemoSettings, folder: Path) -> Shares:
    count = min(settings.limit or len(train), len(train))
    held_out_count = min(max(count // 6, 50), len(test))
    folders, size = [], 0
    for number in range(settings.devices):
        path = folder / f"images-{number + 1}"
        size += write_image_folder(train, range(number, count, settings.devices), path)
        folders.append(path)
    held_out = folder / "images-held-out"
    write_image_folder(test, range(held_out_count), held_out)
    return Shares(folders, held_out, count, held_out_count, size / count)


def _broker(name: str, folder: Path) -> Broker:
    if name == "mosquitto":
        return MosquittoBroker(folder)
    if name == "embedded":
        return EmbeddedBroker(folder)
    if name == "auto":
        return installed_broker(folder)
    raise ConfigError(f"--broker {name}: choose mosquitto, embedded or auto")
