"""The story: learn all classes but one, name that one, show some images of it, watch both exits."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError, TransportError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from rich.console import Console

from hiertk.data import ImageSet, load, write_image_folder
from hiertk.demo.live import LiveView
from hiertk.demo.new_class.device import DeviceEndpoint, wait_for_endpoint
from hiertk.demo.new_class.picture import draw
from hiertk.demo.new_class.probe import Shown, images_of, measure
from hiertk.demo.new_class.record import NewClassResults, Point, first_majority
from hiertk.demo.new_class.tell import point_line, print_results
from hiertk.demo.processes import Child, Children
from hiertk.demo.stage import (
    LOOK_EVERY_S,
    dashboard_line,
    finished_folder,
    is_consumed,
    open_broker,
    start_cloud,
    wait_for_cloud,
)
from hiertk.demo.watch import Watcher
from hiertk.export import ExportSettings, export_bundle

_DEVICE = "device-1"
_SHOWN_AT_A_TIME = 5
_LAST_LOOK_S = 12.0
_FREE_SLOTS = 6


@dataclass(frozen=True)
class NewClassSettings:
    """One run.

    new_class: held back; None: the data set's last one. examples: labelled images that teach it.
    limit: training images of the old classes at most. test_images: of the new class, and as many of
    the old ones.
    """

    runs: Path
    data: str
    limit: int
    epochs: int
    broker: str
    new_class: str | None = None
    examples: int = 50
    test_images: int = 45


@dataclass(frozen=True)
class _Lesson:
    """What is taught, and what is asked. folder: images of the old classes."""

    new_class: str
    old_classes: tuple[str, ...]
    folder: Path
    examples: list[Shown]
    new_tests: list[Shown]
    old_tests: list[Shown]


def run_new_class_demo(settings: NewClassSettings, *, as_json: bool) -> NewClassResults:
    """Run the demo; the run's folder appears when all of it is there.

    Raises the error tree; leaves no process and no half-written run behind.
    """
    console = Console(stderr=as_json)
    with finished_folder(settings.runs, "new-class") as (folder, finished):
        results = _run(settings, folder, console)
        text = json.dumps(asdict(results), indent=2)
        with atomic_file(folder / "results.json") as temporary:
            temporary.write_text(text + "\n")
        draw(results, folder / "new-class.png")
    if as_json:
        print(text)
    else:
        print_results(results, console)
    console.print(f"Picture, JSON, bundle and logs: {finished}", soft_wrap=True)
    return results


def _run(settings: NewClassSettings, folder: Path, console: Console) -> NewClassResults:
    lesson = _prepare(settings, folder)
    console.print(f"Held back: {lesson.new_class}. Exporting resnet18, separation point 2, for")
    console.print(f"{len(lesson.old_classes)} classes with {_FREE_SLOTS} free class slots")
    bundle = export_bundle(
        ExportSettings(
            model="resnet18",
            split=2,
            target="linux",
            classes=lesson.old_classes,
            class_capacity=len(lesson.old_classes) + _FREE_SLOTS,
            out=folder / "bundle",
        )
    ).bundle
    with (
        open_broker(settings.broker, folder / "broker") as broker,
        Watcher(broker.url, bundle.manifest.deployment) as watcher,
        Children(folder) as children,
        LiveView(console) as view,
    ):
        stage = _Stage(settings, folder, lesson, bundle, broker.url, children, view)
        points = stage.play(watcher)
    before, after = points[0], tuple(points[1:])
    return NewClassResults(
        new_class=lesson.new_class,
        old_classes=lesson.old_classes,
        test_images=len(lesson.new_tests),
        before=before,
        points=after,
        early=first_majority(after, final=False),
        final=first_majority(after, final=True),
        broker=broker.name,
        deployment=bundle.manifest.deployment,
    )


@dataclass(frozen=True)
class _Stage:
    """Everything that the cloud and the device need to start."""

    settings: NewClassSettings
    folder: Path
    lesson: _Lesson
    bundle: Bundle
    broker_url: str
    children: Children
    view: LiveView

    def play(self, watcher: Watcher) -> list[Point]:
        """Learn the old classes, then teach the new one; return what was measured."""
        cloud = start_cloud(self.children, self.folder, self.bundle, self.broker_url)
        wait_for_cloud(cloud, watcher, self.view.show)
        if line := dashboard_line(cloud):
            self.view.say(line)
        device = self._start_device()
        endpoint = wait_for_endpoint(device.log, self.folder / _DEVICE, lambda: device.is_done)
        self._watch_until_trained(cloud, device, watcher)
        self.view.say(
            f"The device is asked about {len(self.lesson.new_tests)} test images of "
            f"{self.lesson.new_class} and {len(self.lesson.old_tests)} of the old classes"
        )
        return _Teacher(self.lesson, endpoint, watcher, self.view).teach()

    def _start_device(self) -> Child:
        config = self.folder / f"{_DEVICE}.toml"
        config.write_text(
            "[prediction]\n"
            "ask_cloud_below = 1.0  # both exits are to be seen\n"
            "[endpoint]\n"
            'listen = "127.0.0.1:0"\n'
        )
        return self.children.start(
            _DEVICE, "hiertk_edge", "run", "--config", str(config),
            "--bundle", str(self.bundle.folder), "--broker", self.broker_url,
            "--device", _DEVICE, "--state", str(self.folder / _DEVICE),
            "--data", f"folder:{self.lesson.folder}",
            "--epochs", str(self.settings.epochs),
        )  # fmt: skip

    def _watch_until_trained(self, cloud: Child, device: Child, watcher: Watcher) -> None:
        while True:
            moment = watcher.now()
            self.view.show(moment)
            if cloud.is_done or device.is_done:
                raise TransportError(f"a process ended early: see {cloud.log} and {device.log}")
            states = {one.state for one in moment.devices.values()}
            if states == {DeviceStatus.WAITING} and is_consumed(moment):
                return
            time.sleep(LOOK_EVERY_S)


class _Teacher:
    """Names the new class, shows its images some at a time, and measures in between."""

    def __init__(
        self, lesson: _Lesson, endpoint: DeviceEndpoint, watcher: Watcher, view: LiveView
    ) -> None:
        self._lesson = lesson
        self._endpoint = endpoint
        self._watcher = watcher
        self._view = view
        self._named_at = time.monotonic()
        self._examples = 0
        self._points: list[Point] = []

    def teach(self) -> list[Point]:
        """Return what was measured before, while and after the class was taught."""
        self._look()
        self._named_at = time.monotonic()
        self._endpoint.name(self._lesson.new_class)
        self._view.say(f"Named: {self._lesson.new_class}")
        for start in range(0, len(self._lesson.examples), _SHOWN_AT_A_TIME):
            for example in self._lesson.examples[start : start + _SHOWN_AT_A_TIME]:
                self._endpoint.show(example.png, example.label)
                self._examples += 1
            self._look()
        until = time.monotonic() + _LAST_LOOK_S
        while time.monotonic() < until:
            self._look()
        self._points[0] = replace(self._points[0], seconds=0.0)
        return self._points

    def _look(self) -> None:
        new = measure(self._endpoint, self._lesson.new_tests)
        old = measure(self._endpoint, self._lesson.old_tests)
        moment = self._watcher.now()
        point = Point(
            seconds=time.monotonic() - self._named_at,
            examples=self._examples,
            edge_step=max((one.edge_step for one in moment.devices.values()), default=0),
            cloud_step=moment.model.cloud_step,
            new=new,
            old=old,
        )
        self._points.append(point)
        self._view.say(point_line(point))


def _prepare(settings: NewClassSettings, folder: Path) -> _Lesson:
    train, test = load(settings.data, "train"), load(settings.data, "test")
    new_class = settings.new_class or train.classes[-1]
    if new_class not in train.classes:
        raise ConfigError(f"--hold-back {new_class}: choose {', '.join(train.classes)}")
    new = train.classes.index(new_class)
    old = [label for label in range(len(train.classes)) if label != new]
    images = folder / "images"
    write_image_folder(train, _indices_without(train, new, settings.limit), images)
    (images / new_class).rmdir()  # it is not known yet
    return _Lesson(
        new_class=new_class,
        old_classes=tuple(train.classes[label] for label in old),
        folder=images,
        examples=images_of(train, [new], settings.examples),
        new_tests=images_of(test, [new], settings.test_images),
        old_tests=images_of(test, old, settings.test_images),
    )


def _indices_without(images: ImageSet, label: int, limit: int) -> Sequence[int]:
    found: list[int] = []
    for index in range(len(images)):
        if len(found) == limit:
            break
        if images.items[index][1] != label:
            found.append(index)
    return found
