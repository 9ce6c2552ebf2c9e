"""The whole measurement of a device: every cut, one after another, as a profile."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError, HiertkError
from hiertk_protocol.machine_info import this_machine
from hiertk_protocol.profile import EdgeProfile, TrainingEngine

from hiertk_edge.profiling.cuts import network_of, open_cuts
from hiertk_edge.profiling.process import measure_apart
from hiertk_edge.profiling.records import MeasuredPoint, PointSettings
from hiertk_edge.profiling.work_folder import work_folder
from hiertk_edge.sources import open_data_set

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

GOLDEN_IMAGES = "golden images of the bundle"
MAX_IMAGES_NAME = 200

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ProfileSettings:
    """What to measure, and how.

    bundle: one, or a folder of cuts. folder: to work in; on the disk that is to hold the spool.
    data: folder:PATH, None for the bundle's golden images. batch_size: None is the bundle's own.
    seconds: for the steps of one cut, about; two of each kind are taken in any case. public_key:
    who must have signed the bundles, if not None.
    """

    bundle: Path
    folder: Path
    data: str | None = None
    batch_size: int | None = None
    threads: int = 1
    seconds: float = 5.0
    public_key: "Ed25519PublicKey | None" = None


def profile_edge(settings: ProfileSettings, tell: Tell) -> EdgeProfile:
    """Measure every cut, and tell of each on one line.

    A cut whose features fit no message is left out. Raises HiertkError if one fails otherwise,
    ConfigError if none is left.
    """
    cuts = open_cuts(settings.bundle, settings.public_key)
    if settings.data is not None:  # what is wrong with it is no matter of one cut
        open_data_set(settings.data, cuts[0].manifest.classes.names, cuts[0].manifest.input)
    measured = [_measure(bundle, settings, tell) for bundle in cuts]
    points = tuple(one.point for one in measured if one.point is not None)
    if not points:
        raise ConfigError(f"{settings.bundle}: {measured[0].refusals[0]}")
    manifest = cuts[0].manifest
    return EdgeProfile(
        hiertk_version=version("hiertk"),
        measured_on=datetime.now(timezone.utc).date(),
        images=(settings.data or GOLDEN_IMAGES)[:MAX_IMAGES_NAME],
        machine=this_machine(),
        network=network_of(manifest),
        engine=TrainingEngine(
            backend=manifest.engine.backend,
            version=manifest.engine.version,
            threads=settings.threads,
        ),
        prepare_ms=round(median(one.prepare_ms for one in measured), 6),
        points=points,
    )


def _measure(bundle: Bundle, settings: ProfileSettings, tell: Tell) -> MeasuredPoint:
    model = bundle.manifest.model
    started = time.monotonic()
    with work_folder(settings.folder) as folder:
        try:
            measured = measure_apart(
                PointSettings(
                    bundle=bundle.folder,
                    folder=folder,
                    data=settings.data,
                    batch_size=settings.batch_size or bundle.manifest.engine.batch_size,
                    threads=settings.threads,
                    seconds=settings.seconds,
                )
            )
        except HiertkError as error:
            raise type(error)(f"separation point {model.split}: {error}") from error
    name = f"separation point {model.split} ({model.split_module})"
    for refusal in measured.refusals:
        tell(f"{name}: {refusal}")
    tell(f"{name}: {_summary(measured)}; measured in {time.monotonic() - started:.0f} s")
    return measured


def _summary(measured: MeasuredPoint) -> str:
    if measured.point is None:
        return "left out"
    step = measured.point.steps[-1]
    return (
        f"a step of {step.samples} images {step.total_ms:.1f} ms, "
        f"{measured.point.peak_memory_bytes / 1e6:.0f} MB"
    )
