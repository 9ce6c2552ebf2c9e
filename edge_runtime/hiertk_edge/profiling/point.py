"""The process that measures one cut: prints it as JSON.

python -m hiertk_edge.profiling.point SETTINGS, as JSON. A process of its own for each cut, so that
peak memory is that cut's, and memory is handled as `hiertk-edge run` does it.
"""

import sys
import time
from contextlib import closing

from hiertk_protocol import console
from hiertk_protocol.bundle import Bundle, open_bundle
from hiertk_protocol.profile import EdgePoint

import hiertk_edge.cli  # in memory as in `hiertk-edge run`
import hiertk_edge.device  # noqa: F401
from hiertk_edge.freed_memory import return_freed_memory
from hiertk_edge.learner import StepwiseLearner, check_batch_size
from hiertk_edge.peak_memory import peak_memory_bytes
from hiertk_edge.profiling.images import open_images
from hiertk_edge.profiling.records import MeasuredPoint, PointSettings
from hiertk_edge.profiling.stopwatch import turns
from hiertk_edge.profiling.training import StepMeter, open_stepwise
from hiertk_edge.profiling.wire import DEVICE, WireMeter
from hiertk_edge.sources import DataSet
from hiertk_edge.spool import Spool

_WARM_UP_STEPS = 20  # features of fresh weights compress otherwise than those of trained ones


def measure_point(settings: PointSettings) -> MeasuredPoint:
    """Measure in this very process. Raises HiertkError."""
    bundle = open_bundle(settings.bundle)
    manifest = bundle.manifest
    return_freed_memory(manifest.engine.backend)
    source = open_images(settings.data, bundle, settings.folder / "images")
    learner = open_stepwise(bundle, threads=settings.threads)
    check_batch_size(learner, settings.batch_size)
    small = _small(learner, source, settings.batch_size)
    full = StepMeter(learner, source, settings.batch_size)
    with _spool(settings, bundle) as spool:
        sending = WireMeter(manifest, manifest.features.bits, spool)
        _train_as_the_agent(small or full, full, sending, learner, settings)
        peak = peak_memory_bytes()
        wires = [WireMeter(manifest, bits, spool) for bits in (8, 4)]
        for _ in turns(settings.seconds):
            result, batch = full.measure()
            for wire in wires:
                wire.hand_over(result, batch, edge_step=learner.edge_step)
            full.measure_forward(batch)
            if small is not None:
                _, batch = small.measure()
                small.measure_forward(batch)
    sendable = tuple(found for wire in wires if (found := wire.wire(settings.batch_size)))
    return MeasuredPoint(
        point=EdgePoint(
            split=manifest.model.split,
            module=manifest.model.split_module,
            feature_shape=manifest.features.shape,
            edge_parameters=manifest.edge_parameters,
            cloud_parameters=manifest.model.cloud_parameters,
            steps=tuple(meter.step_time() for meter in (small, full) if meter is not None),
            wire=sendable,
            peak_memory_bytes=peak,
        )
        if sendable
        else None,
        prepare_ms=full.prepare_ms,
        refusals=tuple(wire.refusal for wire in wires if wire.refusal is not None),
    )


def _small(learner: StepwiseLearner, source: DataSet, batch_size: int) -> StepMeter | None:
    """Return a meter of a quarter batch, where the engine takes one as it is."""
    few = max(2, batch_size // 4)  # batch normalization needs two
    if few == batch_size or learner.fixed_batch_size is not None:
        return None
    return StepMeter(learner, source, few)


def _train_as_the_agent(
    warm_up: StepMeter,
    full: StepMeter,
    sending: WireMeter,
    learner: StepwiseLearner,
    settings: PointSettings,
) -> None:
    """Warm up, then do all that takes memory in a run: steps, messages, evaluation, checkpoint."""
    deadline = time.monotonic() + settings.seconds
    for _ in range(_WARM_UP_STEPS):
        warm_up.train()
        if time.monotonic() >= deadline:
            break
    result, batch = full.train()
    sending.hand_over(result, batch, edge_step=learner.edge_step)
    learner.evaluate(batch.images, batch.labels)
    learner.save(settings.folder / "checkpoint")


def _spool(settings: PointSettings, bundle: Bundle) -> closing[Spool]:
    path = settings.folder / "spool.sqlite"
    return closing(Spool(path, bundle_id=bundle.manifest.bundle_id, device=DEVICE))


def main() -> None:
    """Measure what the one argument says."""
    settings = PointSettings.model_validate_json(sys.argv[1])
    print(measure_point(settings).model_dump_json())


if __name__ == "__main__":
    console.run(main)
