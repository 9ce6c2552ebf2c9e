"""How well edge, link and cloud overlap: the whole against the slowest part alone."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from hiertk.brokers import Broker, free_port, installed_broker
from hiertk.link import ShapedLink
from hiertk_edge.state import StateFolder

from benchmarks.figures import Figure, at_most
from benchmarks.line_process import LineProcess
from benchmarks.workplace import Workplace, python

TITLE = "Overlap of edge, link and cloud"
HOW = """\
Real processes: `hiertk-edge run` on the first core, `hiertk-cloud serve` on the second, between
the device and the broker a link shaped to 5.85 Mbit/s; 32 images per batch, no replay, so that
the three parts are of comparable size. The parts alone, for the same batches:

- edge: training with its uplink off (nothing listens at the broker's address), from its first step
  until the last batch is in the spool;
- link: the same spool through the same shaped link to a cloud that stores and acknowledges but does
  not train, from the device's connecting until its spool is empty;
- cloud: `hiertk-cloud serve` on the log that the link's run has filled, from its first step to its
  last, times n / (n - 1);
- all: from the device's first step until the cloud's step on the last batch is done.

The ratio is all over the slowest of the three, per repetition; edge, link, cloud and all take turns.
Broker and shaped link run on whichever of the two cores is free and count against us in all four."""

UPLINK_BITS_PER_S = 5.85e6
_RUNS = {"tiny": 1, "quick": 1, "full": 3}


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
    """Return the ratio, and the seconds of all parts."""
    runs = []
    for number in range(_RUNS[place.effort]):
        folder = place.folder / f"overlap-{number}"
        folder.mkdir()
        with installed_broker(folder / "broker") as broker:
            times = _Stage(place, folder, broker).play()
        place.tell(
            f"edge {times.edge:.1f} s, link {times.link:.1f} s, cloud {times.cloud:.1f} s, "
            f"all {times.everything:.1f} s: {times.ratio:.2f}"
        )
        runs.append(times)
        shutil.rmtree(folder)
    return [
        Figure(
            what="all / slowest of edge, link and cloud alone",
            unit="",
            samples=tuple(times.ratio for times in runs),
            target=at_most(1.15),
        ),
        Figure(what="edge alone", unit="s", samples=tuple(times.edge for times in runs)),
        Figure(what="link alone", unit="s", samples=tuple(times.link for times in runs)),
        Figure(what="cloud alone", unit="s", samples=tuple(times.cloud for times in runs)),
        Figure(what="all", unit="s", samples=tuple(times.everything for times in runs)),
    ]


@dataclass(frozen=True)
class _Stage:
    place: Workplace
    folder: Path
    broker: Broker

    def play(self) -> Times:
        """Run the parts alone, then all of them."""
        return Times(self._edge(), self._link(), self._cloud(), self._all())

    def _edge(self) -> float:
        nowhere = f"mqtt://127.0.0.1:{free_port()}"
        with self._device("device", nowhere) as device:
            started, _ = device.wait_for(state="TRAINING")
            ended, _ = device.wait_for(state="DRAINING")
        return ended - started

    def _link(self) -> float:
        log = StateFolder(self.folder / "sink")
        log.path.mkdir()
        sink = python(
            "benchmarks.overlap_sink",
            str(self.place.bundle.folder), self.broker.url, str(log.path / "log.sqlite"),
        )  # fmt: skip
        with LineProcess(sink, core=1) as cloud, self._shaped() as link:
            cloud.wait_for(event="started")
            with self._device("device", link.url) as device:
                started, _ = device.wait_for(state="DRAINING")
                ended, _ = device.wait_for(event="summary", finished=True)
        return ended - started

    def _cloud(self) -> float:
        with self._service("sink") as cloud:
            first = cloud.wait_for(event="step", number=1)[1]["at"]
            last = cloud.wait_for(event="step", number=self._batches)[1]["at"]
        return float(last - first) * self._batches / (self._batches - 1)

    def _all(self) -> float:
        with self._service("cloud") as cloud, self._shaped() as link:
            cloud.wait_for(event="up")
            with self._device("device-all", link.url) as device:
                started, _ = device.wait_for(state="TRAINING")
                ended = cloud.wait_for(event="step", number=self._batches)[1]["at"]
                device.wait_for(event="summary", finished=True)
        return float(ended - started)

    @property
    def _batches(self) -> int:
        return math.ceil(self.place.image_count / self.place.bundle.manifest.engine.batch_size)

    def _shaped(self) -> ShapedLink:
        return ShapedLink(self.broker.url, up_bits_per_s=UPLINK_BITS_PER_S)

    def _device(self, state: str, broker: str) -> LineProcess:
        arguments = [
            "run", "--bundle", str(self.place.bundle.folder), "--broker", broker,
            "--device", "device", "--data", f"folder:{self.place.images}",
            "--state", str(self.folder / state), "--json",
        ]  # fmt: skip
        return LineProcess(python("hiertk_edge", *arguments), core=0)

    def _service(self, state: str) -> LineProcess:
        arguments = [
            "serve", "--bundle", str(self.place.bundle.folder), "--broker", self.broker.url,
            "--state", str(self.folder / state), "--replay", "0", "--json",
        ]  # fmt: skip
        return LineProcess(python("benchmarks.overlap_cloud", *arguments), core=1)
