"""The planner's predictions against real training over a slow link."""

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np
from hiertk.data import load, write_image_folder
from hiertk.export import ExportSettings, export_bundle
from hiertk.line_process import LineProcess
from hiertk.planner.prediction import Prediction, Scenario, predict
from hiertk.planner.runtime_model import Link
from hiertk.profiling.cloud import profile_cloud_role
from hiertk.profiling.settings import RoleSettings
from hiertk.slow_link import SlowLink, slow_link
from hiertk_edge.profiling import ProfileSettings, profile_edge
from hiertk_protocol.profile import CloudProfile, EdgeProfile

from benchmarks.figures import Figure, at_most
from benchmarks.workplace import Workplace, environment, python

TITLE = "Predicted against measured time per batch"
HOW = """\
Real processes train: `hiertk-edge run` on the first core, `hiertk-cloud serve` on the second,
Mosquitto beside the cloud, 32x32, 4 bits, batches of 32, no replay (so that edge, link and cloud
each set the time of some case). Between them two network namespaces and the kernel's token bucket
(`tc tbf`) at the given rate; without root, our own shaping proxy. Measured is the time between
cloud steps once a quarter of them is done, times the messages of a batch. Predicted is `hiertk
plan`'s pipeline for the same cut, bits, replay and rate, from what `hiertk profile` measures. The
machine's own speed drifts by up to 15 % within minutes; so both profiles are measured before and
after the runs of each cut, and the prediction is the mean of the two. The error is relative to
what was measured."""

BITS: Literal[4] = 4
_BATCH = 32
_SIZE = 32
_DATA = "fashion-mnist-mini"
_MOST_BATCHES = 150  # there are 6,000 images
_RATES = (1.1e6, 5.85e6, 18.88e6)


@dataclass(frozen=True)
class Case:
    """A network, where it is cut, the link's rates, and how long each run and profile lasts."""

    model: str
    splits: tuple[int, ...]
    rates: tuple[float, ...]
    seconds: float
    least_batches: int


_FULL = (
    Case("resnet18", (1, 2, 4), _RATES, seconds=10, least_batches=24),
    Case("vgg16", (3, 7, 9), _RATES, seconds=10, least_batches=24),
)
_CASES = {
    "tiny": (Case("resnet18", (2,), (18.88e6,), seconds=0.5, least_batches=8),),
    "quick": tuple(replace(case, splits=case.splits[:2], rates=_RATES[:2]) for case in _FULL),
    "full": _FULL,
}


@dataclass(frozen=True)
class _Pair:
    what: str
    predicted_ms: float
    measured_ms: float

    @property
    def error_percent(self) -> float:
        return 100 * abs(self.predicted_ms / self.measured_ms - 1)


def measure(place: Workplace) -> list[Figure]:
    """Return the errors, and the times that they come from."""
    pairs = [pair for case in _CASES[place.effort] for pair in _pairs(case, place)]
    errors = [pair.error_percent for pair in pairs]
    return [
        Figure(
            what="median error of the prediction",
            unit="%",
            samples=tuple(errors),
            target=at_most(10),
        ),
        Figure(
            what="worst error of the prediction",
            unit="%",
            samples=(max(errors),),
            target=at_most(25),
        ),
        *(
            Figure(
                what=f"{pair.what}: predicted {pair.predicted_ms:.0f} ms, measured",
                unit="ms",
                samples=(pair.measured_ms,),
            )
            for pair in pairs
        ),
    ]


def _pairs(case: Case, place: Workplace) -> list[_Pair]:
    folder = place.folder / case.model
    folder.mkdir()
    return [pair for split in case.splits for pair in _at(case, split, place, folder)]


def _at(case: Case, split: int, place: Workplace, folder: Path) -> list[_Pair]:
    bundle = folder / f"bundle-{split}"
    settings = _settings(case, split=split, out=bundle)
    export_bundle(settings)
    before = _profiles(case, settings, place)
    measured_ms = []
    for rate in case.rates:
        batches = min(_MOST_BATCHES, _batches(case, _predict(before, split, rate, 1.0)))
        name = f"{split}-{rate:.0f}"
        with slow_link(folder / f"link-{name}", rate) as link:
            run = _Run(folder / name, bundle, link, batches)
            measured_ms.append(1e3 * run.seconds())
    after = _profiles(case, settings, place)
    pairs = []
    for rate, measured in zip(case.rates, measured_ms, strict=True):
        predictions = [_predict(one, split, rate, link.efficiency) for one in (before, after)]
        pair = _Pair(
            what=f"{case.model}, separation point {split}, {rate / 1e6:g} Mbit/s",
            predicted_ms=fmean(1e3 * one.seconds for one in predictions),
            measured_ms=measured,
        )
        both = " and ".join(f"{1e3 * one.seconds:.0f}" for one in predictions)
        place.tell(
            f"{pair.what}: predicted {both} ms ({predictions[0].hierarchical.slowest}), "
            f"measured {pair.measured_ms:.0f} ms over {link.kind}: {pair.error_percent:.1f} %"
        )
        pairs.append(pair)
    return pairs


def _batches(case: Case, predicted: Prediction) -> int:
    return max(case.least_batches, round(case.seconds / predicted.seconds))


def _settings(case: Case, *, split: int, out: Path) -> ExportSettings:
    return ExportSettings(
        model=case.model,
        split=split,
        target="linux",
        classes=load(_DATA, "train").classes,
        input_size=_SIZE,
        batch_size=_BATCH,
        bits=BITS,
        out=out,
    )


def _profiles(
    case: Case, settings: ExportSettings, place: Workplace
) -> tuple[EdgeProfile, CloudProfile]:
    """Measure what the runs do: this cut, on either side."""
    seconds = min(5.0, case.seconds)
    edge = profile_edge(
        ProfileSettings(
            bundle=settings.folder,
            folder=place.folder,
            data=f"folder:{place.images}",
            seconds=seconds,
        ),
        place.tell,
    )
    cloud = profile_cloud_role(
        RoleSettings(
            export=settings,
            data=_DATA,
            images=load(_DATA, "train"),
            splits=(settings.split,),
            folder=place.folder,
            threads=1,
            seconds=seconds,
        ),
        place.tell,
    )
    return edge, cloud


def _predict(
    profiles: tuple[EdgeProfile, CloudProfile], split: int, rate: float, efficiency: float
) -> Prediction:
    edge, cloud = profiles
    scenario = Scenario(
        edge=edge,
        cloud=cloud,
        link=Link(rate, rate, efficiency=efficiency),
        batch_size=_BATCH,
        bits=(BITS,),
        replay=0,
    )
    return next(one for one in predict(scenario).points if one.cut.split == split)


@dataclass(frozen=True)
class _Run:
    """One real training over a link."""

    folder: Path
    bundle: Path
    link: SlowLink
    batches: int

    def seconds(self) -> float:
        """Return the time per batch once the pipeline is full."""
        images = self.folder / "images"
        train = load(_DATA, "train")
        shuffled = np.random.default_rng(0).permutation(len(train))
        write_image_folder(train, shuffled[: self.batches * _BATCH].tolist(), images)
        with self._cloud() as cloud:
            cloud.wait_for(event="up")
            with self._device(images) as device:
                status = device.wait_for(event="summary", finished=True)[1]
            messages = int(status["spooled_total"])
            first = messages // 4 + 1
            begun = cloud.wait_for(event="step", number=first)[1]["at"]
            ended = cloud.wait_for(event="step", number=messages)[1]["at"]
        per_message = (ended - begun) / (messages - first)
        return float(per_message * messages / self.batches)

    def _cloud(self) -> LineProcess:
        arguments = [
            "serve", "--bundle", str(self.bundle), "--broker", self.link.cloud_broker,
            "--state", str(self.folder / "cloud"), "--replay", "0", "--api", "", "--json",
        ]  # fmt: skip
        command = python("benchmarks.overlap_cloud", *arguments)
        return LineProcess([*self.link.cloud_prefix, *command], core=1, environment=environment())

    def _device(self, images: Path) -> LineProcess:
        arguments = [
            "run", "--bundle", str(self.bundle), "--broker", self.link.device_broker,
            "--device", "device", "--data", f"folder:{images}",
            "--state", str(self.folder / "device"), "--json",
        ]  # fmt: skip
        return LineProcess(
            [*self.link.device_prefix, *python("hiertk_edge", *arguments)],
            core=0,
            environment=environment(),
        )
