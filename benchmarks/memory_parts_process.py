"""A device's learner in a process of its own, which tells its peak memory as it comes to be.

python -m benchmarks.memory_parts_process BUNDLE IMAGES CHECKPOINT: prints a list of bytes: with the
engine imported, the learner open, steps trained, and the checkpoint written. No PyTorch here.
"""

import json
import sys
from itertools import islice
from pathlib import Path

from hiertk_edge.engines.backends import open_learner
from hiertk_edge.engines.ort_engine import import_engine
from hiertk_edge.freed_memory import return_freed_memory
from hiertk_edge.peak_memory import peak_memory_bytes
from hiertk_edge.sources import open_data_set
from hiertk_protocol.bundle import open_bundle

_BATCHES = 2
_BATCH_SIZE = 32
_STEPS = 8


def main(folder: str, images: str, checkpoint: str) -> None:
    """Open, train and save."""
    bundle = open_bundle(Path(folder))
    return_freed_memory(bundle.manifest.engine.backend)
    source = open_data_set(f"folder:{images}", bundle.manifest.classes.names, bundle.manifest.input)
    found = source.training_batches(_BATCH_SIZE, seed=0, consumed=0, passes=1)
    batches = list(islice(found, _BATCHES))
    import_engine()
    peaks = [peak_memory_bytes()]
    learner = open_learner(bundle)
    peaks.append(peak_memory_bytes())
    for step in range(_STEPS):
        batch = batches[step % len(batches)]
        learner.step(batch.images, batch.labels)
    peaks.append(peak_memory_bytes())
    learner.save(Path(checkpoint))
    peaks.append(peak_memory_bytes())
    print(json.dumps(peaks))


if __name__ == "__main__":
    main(*sys.argv[1:])
