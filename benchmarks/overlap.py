"""How well edge, link and cloud overlap: the whole against the slowest part alone."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hiertk.brokers import Broker, free_port, installed_broker
from hiertk.line_process import LineProcess
from hiertk.link import ShapedLink
from hiertk_cloud.state import StateFolder
from hiertk_protocol.bundle import Bundle

from benchmarks.figures import Figure, at_most
from benchmarks.workplace import Workplace, environment, export_resnet18, python, write_images

TITLE = "Overlap of edge, link and cloud"
HOW = """\
Real processes: `hiertk-edge run` on the first core, `hiertk-cloud serve` on the second, between
the device and the broker a link shaped to 5.85 Mbit/s, one pass over the images, 32 per batch, no
replay. "Balanced" (ResNet-18, separation point 4, 64x64, 8 bits) is the hard case: edge, link and
cloud take about as long as each other, so that whatever one of them waits for another shows; its
batches go in two messages each, and the cloud takes a step for each.
"Default" is separation point 2, 32x32, 4 bits, where the cloud is the slowest by far. The parts
alone, for the same batches:

- edge: training with its uplink off (nothing listens at the broker's address), from its first step
  until the last batch is in the spool;
- link: the same spool through the same shaped link to a cloud that stores and acknowledges but does
  not train, from the device's connecting until its spool is empty;
- cloud: `hiertk-cloud serve` on the log that the link's run has filled, from its first step to its
  last, times n / (n - 1) for n steps;
- all: from the device's first step until the cloud's step on the last batch is done.

The ratio is all over the slowest of the three, per repetition; they and all of them take turns.
Broker and shaped link run on whichever of the two cores is free and count against us in all four.
With one more program that computes on either core this measures that program."""

UPLINK_BITS_PER_S = 5.85e6


@dataclass(frozen=True)
class Case:
    """What is run, and how often."""

    name: str
    split: int
    input_size: int
    bits: int
    images: int
    runs: int


_FULL = (
    Case("balanced", split=4, input_size=64, bits=8, images=1280, runs=2),
    Case("default", split=2, input_size=32, bits=4, images=1280, runs=2),
)
_CASES = {
    "tiny": (Case("tiny", split=2, input_size=32, bits=4, images=96, runs=1),),
    "quick": tuple(replace(case, images=640, runs=1) for case in _FULL),
    "full": _FULL,
}


@dataclass(frozen=True)
class Times:
    """Seconds of one repetition."""

    edge: float
    link: float
    cloud: float
    everything: float

    @property
    def ratio(self) -> float:
        return self.everything / max(self.edge, self.link, self.cloud)


def measure(place: Workplace) -> list[Figure]:
    """Return the ratios, and the seconds of all parts."""
    return [figure for case in _CASES[place.effort] for figure in _at(case, place)]


def _at(case: Case, place: Workplace) -> list[Figure]:
    folder = place.folder / case.name
    bundle = _bundle(case, place, folder / "bundle")
    images = write_images(folder / "images", "train", case.images)
    runs = []
    for number in range(case.runs):
        with installed_broker(folder / f"broker-{number}") as broker:
            stage = _Stage(folder / f"run-{number}", bundle, images, broker)
            times = stage.play()
        place.tell(
            f"{case.name}: edge {times.edge:.1f} s, link {times.link:.1f} s, "
            f"cloud {times.cloud:.1f} s, all {times.everything:.1f} s: {times.ratio:.2f}"
        )
        runs.append(times)
    shutil.rmtree(folder)
    return _figures(case.name, runs)


def _bundle(case: Case, place: Workplace, folder: Path) -> Bundle:
    manifest = place.bundle.manifest
    found = (manifest.model.split, manifest.input.size, manifest.features.bits)
    if found == (case.split, case.input_size, case.bits):
        return place.bundle
    return export_resnet18(folder, split=case.split, input_size=case.input_size, bits=case.bits)


def _figures(name: str, runs: list[Times]) -> list[Figure]:
    return [
        Figure(
            what=f"{name}: all / slowest of edge, link and cloud alone",
            unit="",
            samples=tuple(times.ratio for times in runs),
            target=at_most(1.15),
        ),
        Figure(what=f"{name}: edge alone", unit="s", samples=tuple(one.edge for one in runs)),
        Figure(what=f"{name}: link alone", unit="s", samples=tuple(one.link for one in runs)),
        Figure(what=f"{name}: cloud alone", unit="s", samples=tuple(one.cloud for one in runs)),
        Figure(what=f"{name}: all", unit="s", samples=tuple(one.everything for one in runs)),
    ]


@dataclass(frozen=True)
class _Stage:
    folder: Path
    bundle: Bundle
    images: Path
    broker: Broker

    def play(self) -> Times:
        """Run the parts alone, then all of them."""
        edge, messages = self._edge()
        return Times(edge, self._link(), self._cloud(messages), self._all())

    def _edge(self) -> tuple[float, int]:
        """Return the seconds, and how many messages there are: a cloud step for each."""
        nowhere = f"mqtt://127.0.0.1:{free_port()}"
        with self._device("device", nowhere) as device:
            started, _ = device.wait_for(state="TRAINING")
            ended, status = device.wait_for(state="DRAINING")
        return ended - started, int(status["spooled_total"])

    def _link(self) -> float:
        state = self.folder / "sink"
        state.mkdir(parents=True, exist_ok=True)
        sink = python(
            "benchmarks.overlap_sink",
            str(self.bundle.folder), self.broker.url, str(StateFolder(state).log),
        )  # fmt: skip
        with LineProcess(sink, core=1, environment=environment()) as cloud, self._shaped() as link:
            cloud.wait_for(event="started")
            with self._device("device", link.url) as device:
                started, _ = device.wait_for(state="DRAINING")
                ended, _ = device.wait_for(event="summary", finished=True)
        return ended - started

    def _cloud(self, messages: int) -> float:
        with self._service("sink") as cloud:
            first = cloud.wait_for(event="step", number=1)[1]["at"]
            last = cloud.wait_for(event="step", number=messages)[1]["at"]
        return float(last - first) * messages / (messages - 1)

    def _all(self) -> float:
        with self._service("cloud") as cloud, self._shaped() as link:
            cloud.wait_for(event="up")
            with self._device("device-all", link.url) as device:
                started, _ = device.wait_for(state="TRAINING")
                status = device.wait_for(event="summary", finished=True)[1]
            ended = cloud.wait_for(event="step", number=status["spooled_total"])[1]["at"]
        return float(ended - started)

    def _shaped(self) -> ShapedLink:
        return ShapedLink(self.broker.url, up_bits_per_s=UPLINK_BITS_PER_S)

    def _device(self, state: str, broker: str) -> LineProcess:
        arguments = [
            "run", "--bundle", str(self.bundle.folder), "--broker", broker,
            "--device", "device", "--data", f"folder:{self.images}",
            "--state", str(self.folder / state), "--json",
        ]  # fmt: skip
        return LineProcess(python("hiertk_edge", *arguments), core=0, environment=environment())

    def _service(self, state: str) -> LineProcess:
        arguments = [
            "serve", "--bundle", str(self.bundle.folder), "--broker", self.broker.url,
            "--state", str(self.folder / state), "--replay", "0", "--api", "", "--json",
        ]  # fmt: skip
        return LineProcess(
            python("benchmarks.overlap_cloud", *arguments), core=1, environment=environment()
        )
