"""The cloud role: the trainer's step for every cloud partition and for the whole network."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version

import torch
from hiertk_cloud.training.learner import CloudLearner
from hiertk_edge.profiling import MAX_IMAGES_NAME
from hiertk_edge.profiling.cuts import network_of
from hiertk_edge.profiling.stopwatch import Stopwatch, turns
from hiertk_edge.profiling.work_folder import work_folder
from hiertk_protocol.machine_info import this_machine
from hiertk_protocol.profile import CloudPoint, CloudProfile, TrainingEngine

from hiertk.profiling.cloud_intake import IntakeMeter
from hiertk.profiling.cloud_partitions import WHOLE_NETWORK, CloudPartition, cloud_partitions
from hiertk.profiling.cloud_step import CloudStepMeter
from hiertk.profiling.settings import RoleSettings, Tell

_LEARNING_RATE = 1e-3


def profile_cloud_role(settings: RoleSettings, tell: Tell) -> CloudProfile:
    """Measure the cloud partition after each separation point on this machine's CPU.

    Steps over half the batch size, the batch size and twice it: a batch may come in several
    messages, and replay joins batches. Raises HiertkError.
    """
    with _threads(settings.threads):
        points = []
        for partition in _partitions(settings):
            points.append(_measure(partition, settings, tell))
            manifest = partition.manifest
    return CloudProfile(
        hiertk_version=version("hiertk"),
        measured_on=datetime.now(timezone.utc).date(),
        images=settings.data[:MAX_IMAGES_NAME],
        machine=this_machine(),
        network=network_of(manifest),
        engine=TrainingEngine(backend="torch", version=torch.__version__, threads=settings.threads),
        points=tuple(points),
    )


def _partitions(settings: RoleSettings) -> Iterator[CloudPartition]:
    samples = _sample_counts(settings.export.batch_size)[-1]
    return cloud_partitions(settings.export, settings.splits, settings.images, samples)


def _sample_counts(batch_size: int) -> list[int]:
    return sorted({max(2, batch_size // 2), batch_size, 2 * batch_size})


def _measure(partition: CloudPartition, settings: RoleSettings, tell: Tell) -> CloudPoint:
    started = time.monotonic()
    batch_size = settings.export.batch_size
    learner = CloudLearner(partition.module, partition.manifest, _LEARNING_RATE)
    meters = {
        samples: CloudStepMeter(learner, partition, samples=samples, batch_size=batch_size)
        for samples in _sample_counts(batch_size)
    }
    watches = {samples: Stopwatch() for samples in meters}
    intake_watch = Stopwatch()
    with (
        work_folder(settings.folder) as folder,
        IntakeMeter(partition, batch_size, folder) as intake,
    ):
        next(iter(meters.values())).measure(Stopwatch())  # the fewest samples, to warm up
        intake.measure(Stopwatch())
        for _ in turns(settings.seconds):
            for samples, meter in meters.items():
                meter.measure(watches[samples])
            intake.measure(intake_watch)
        read_ms = intake_watch.median_ms("read") / intake.samples
    point = CloudPoint(
        split=partition.split,
        module=partition.name,
        steps=tuple(
            meter.step_time(watches[samples], read_ms) for samples, meter in meters.items()
        ),
        receive_ms=intake_watch.median_ms("receive"),
    )
    tell(_line(point, batch_size, time.monotonic() - started))
    return point


def _line(point: CloudPoint, batch_size: int, seconds: float) -> str:
    step = next(step for step in point.steps if step.samples == batch_size)
    what = "the whole network"
    if point.split != WHOLE_NETWORK:
        what = f"after separation point {point.split} ({point.module})"
    return (
        f"{what}: a step of {step.samples} samples {step.total_ms:.1f} ms; "
        f"measured in {seconds:.0f} s"
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
