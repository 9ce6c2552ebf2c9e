"""What the agent takes beside its learner: memory, time to the first step, overhead, idling."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import httpx2
import numpy as np
from hiertk.brokers import Broker, free_port, installed_broker
from hiertk.line_process import LineProcess
from hiertk_cloud.state import StateFolder
from PIL import Image

from benchmarks.agent_run import AgentRun
from benchmarks.figures import Figure, at_most
from benchmarks.processor import TICK_S
from benchmarks.service_process import ServiceProcess
from benchmarks.workplace import Workplace, environment, python, write_images

TITLE = "The agent beside its learner"
HOW = """\
`hiertk-edge run` as a whole process with ResNet-18 at separation point 2, 32x32, ONNX Runtime,
batches of 32, over a real broker.

- Peak with everything on: a data set with held-out images, a watched folder, a video file as
  camera, and the endpoint, which is posted images and asked for predictions, of which the unsure
  ones go to a real cloud service; ru_maxrss in MB of 10^6 bytes. Without the camera, because OpenCV
  alone takes a sixth of it; "nothing but training": the data set alone.
- Start to the first training step: from the start of the process, its imports and the listing of
  the images included, with the same sources.
- Overhead: in one run, the median time from step to step (reading and preprocessing images,
  encoding, spooling, sending, status) over the median time of the learner's own step, less one. In
  the first pass images are decoded, in later ones they come decoded from the device's disk. The
  cloud stores and acknowledges but does not train: it would take the core on which the device reads
  its next images.
- Idle: the process's share of a core while nothing comes: data trained, spool empty, 1,000 files in
  the watched folder, endpoint and cloud connected."""

_EXPECTED_MB = 120.0
_BATCH = 32
_PASSES = 3


@dataclass(frozen=True)
class _Size:
    images: int
    posted: int
    starts: int
    idle_s: float
    runs: int


_SIZES = {
    "tiny": _Size(images=96, posted=8, starts=1, idle_s=2.0, runs=1),
    "quick": _Size(images=3200, posted=64, starts=3, idle_s=10.0, runs=1),
    "full": _Size(images=3200, posted=128, starts=5, idle_s=30.0, runs=2),
}


def measure(place: Workplace) -> list[Figure]:
    """Return all figures."""
    size = _SIZES[place.effort]
    folder = place.folder / "agent"
    folder.mkdir()
    stage = _Stage(
        place,
        folder,
        size,
        train=write_images(folder / "train", "train", size.images),
        held_out=write_images(folder / "test", "test", 256),
        shown=write_images(folder / "shown", "test", min(1000, 4 * size.images)),
        video=_write_video(folder / "clip.avi", folder / "train"),
    )
    with installed_broker(folder / "broker") as broker:
        return list(stage.figures(broker))


def _write_video(path: Path, images: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 240))
    for image in sorted(images.rglob("*.png"))[:100]:
        picture = Image.open(image).convert("RGB").resize((320, 240))
        writer.write(np.asarray(picture))  # BGR for RGB: of no matter here
    writer.release()
    return path


@dataclass(frozen=True)
class _Stage:
    place: Workplace
    folder: Path
    size: _Size
    train: Path
    held_out: Path
    shown: Path
    video: Path

    def figures(self, broker: Broker) -> Iterator[Figure]:
        """Yield all figures."""
        with ServiceProcess(self.place.bundle, broker, self.folder / "cloud"):
            with_camera = self._everything(broker, "everything", has_camera=True)
            without = [
                self._everything(broker, f"no-camera-{number}", has_camera=False)
                for number in range(self.size.runs)
            ]
            starts = tuple(self._start(broker, f"start-{n}") for n in range(self.size.starts))
        with self._sink(broker):
            training = [self._training(broker, f"training-{n}") for n in range(self.size.runs)]
        yield Figure(
            what="peak, everything on, without a camera",
            unit="MB",
            samples=tuple(one.peak for one in without),
            target=at_most(_EXPECTED_MB),
        )
        yield Figure(
            what="peak, everything on, with a camera (OpenCV)",
            unit="MB",
            samples=(with_camera.peak,),
            target=at_most(_EXPECTED_MB),
        )
        yield Figure(
            what="peak, nothing but training",
            unit="MB",
            samples=tuple(one.peak for one in training),
        )
        yield Figure(
            what="start to the first training step", unit="s", samples=starts, target=at_most(3.0)
        )
        yield Figure(
            what="overhead / the learner's step, first pass",
            unit="",
            samples=tuple(one.first for one in training),
            target=at_most(0.1),
        )
        yield Figure(
            what="overhead / the learner's step, later passes",
            unit="",
            samples=tuple(one.later for one in training),
            target=at_most(0.1),
        )
        yield Figure(
            what="idle: share of a core",
            unit="%",
            samples=tuple(one.idle for one in (with_camera, *without)),
            target=at_most(1.0),
        )

    @contextmanager
    def _sink(self, broker: Broker) -> Iterator[None]:
        state = self.folder / "sink"
        state.mkdir()
        command = python(
            "benchmarks.overlap_sink",
            str(self.place.bundle.folder), broker.url, str(StateFolder(state).log),
        )  # fmt: skip
        with LineProcess(command, core=1, environment=environment()) as sink:
            sink.wait_for(event="started")
            yield

    def _arguments(self, broker: Broker, name: str, *more: str) -> list[str]:
        return [
            "run", "--bundle", str(self.place.bundle.folder), "--broker", broker.url,
            "--device", name, "--state", str(self.folder / name),
            "--data", f"folder:{self.train}", "--held-out", f"folder:{self.held_out}",
            "--batch-size", str(_BATCH), "--checkpoint-seconds", "5", *more,
        ]  # fmt: skip

    def _everything_on(
        self, broker: Broker, name: str, *, has_camera: bool = True
    ) -> tuple[list[str], str]:
        port = free_port()
        camera = ("--stream", f"camera:{self.video}") if has_camera else ()
        arguments = self._arguments(
            broker, name, "--stream", f"watch:{self.shown}", *camera,
            "--endpoint", f"127.0.0.1:{port}",
        )  # fmt: skip
        return arguments, f"http://127.0.0.1:{port}"

    def _everything(self, broker: Broker, name: str, *, has_camera: bool) -> "_Everything":
        arguments, url = self._everything_on(broker, name, has_camera=has_camera)
        with AgentRun(arguments, self.folder / f"{name}.log") as agent:
            agent.wait(lambda line: line["edge_step"] > 0)
            self._use(url, self.folder / name / "endpoint-token")
            agent.wait(_is_idle)
            before, began = agent.processor_s(), time.monotonic()
            time.sleep(self.size.idle_s)
            # A tick more than was counted: the account has no finer ones.
            idle = (agent.processor_s() - before + TICK_S) / (time.monotonic() - began)
        self.place.tell(f"{name}: {agent.peak_bytes / 1e6:.1f} MB, idle {100 * idle:.2f} %")
        return _Everything(agent.peak_bytes / 1e6, 100 * idle)

    def _use(self, url: str, token: Path) -> None:
        """Post images and ask for predictions while it trains."""
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
            for image in sorted(self.train.rglob("*.png"))[: self.size.posted]:
                content = image.read_bytes()
                client.post("/predictions", content=content).raise_for_status()
                client.post("/images", params={"label": image.parent.name}, content=content)

    def _training(self, broker: Broker, name: str) -> "_Training":
        arguments = self._arguments(broker, name, "--epochs", str(_PASSES))
        with AgentRun(arguments, self.folder / f"{name}.log") as agent:
            agent.wait(lambda line: line["state"] in {"DRAINING", "FINISHED"})
        lines = [line for line in agent.lines() if line["state"] == "TRAINING"]
        steps = [(a, b) for a, b in pairwise(lines) if b["edge_step"] == a["edge_step"] + 1]
        in_first = self.size.images // _BATCH
        first = _overhead([one for one in steps if one[1]["edge_step"] <= in_first])
        later = _overhead([one for one in steps if one[0]["edge_step"] >= in_first])
        self.place.tell(
            f"{name}: beside the learner {100 * first:.1f} % in the first pass, "
            f"{100 * later:.1f} % in later ones; {agent.peak_bytes / 1e6:.1f} MB"
        )
        return _Training(agent.peak_bytes / 1e6, first, later)

    def _start(self, broker: Broker, name: str) -> float:
        arguments, _ = self._everything_on(broker, name)
        with AgentRun(arguments, self.folder / f"{name}.log") as agent:
            agent.wait(lambda line: line["edge_step"] > 0)
        started = next(line["at"] for line in agent.lines() if line["edge_step"] > 0)
        self.place.tell(f"{name}: first step after {started:.2f} s")
        return float(started)


def _is_idle(line: dict[str, Any]) -> bool:
    return bool(line["state"] == "WAITING" and line["spool"] == line["waiting"] == 0)


@dataclass(frozen=True)
class _Everything:
    peak: float
    idle: float


@dataclass(frozen=True)
class _Training:
    """first, later: what the agent takes of a step beside the learner, by pass."""

    peak: float
    first: float
    later: float


def _overhead(steps: list[tuple[dict[str, Any], dict[str, Any]]]) -> float:
    between = median(b["at"] - a["at"] for a, b in steps)
    own = median(b["step_ms"] for _, b in steps) / 1000
    return float(max(between / own - 1, 1e-6))
