"""A process that does training steps on request: reads how many, prints what each took.

python -m benchmarks.step_process ENGINE BUNDLE IMAGES BATCH_SIZE; numbers come on standard input,
lists of milliseconds go to standard output, and the peak of the memory at the end. ENGINE: learner
(the bundle's, as hiertk-edge runs it), learner-default-memory (without its memory setting), eager
(PyTorch). Each has a process of its own, so that memory settings and loaded libraries of one do not
change the other.
"""

import json
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from hiertk_edge.engines.backends import open_learner
from hiertk_edge.freed_memory import return_freed_memory
from hiertk_edge.peak_memory import peak_memory_bytes
from hiertk_edge.sources import ImageBatch, open_data_set
from hiertk_protocol.bundle import Bundle, open_bundle

_BATCHES = 8

Step = Callable[[ImageBatch], object]


def learner_step(bundle: Bundle) -> Step:
    """Return a step as the device's agent does it."""
    learner = open_learner(bundle)
    return lambda batch: learner.step(batch.images, batch.labels)


def eager_step(bundle: Bundle) -> Step:
    """Return the same step in PyTorch eager, features handed over as a numpy array."""
    import torch
    from hiertk.export.optimizer import torch_optimizer
    from hiertk.models import CutSpec, NetworkSpec, both_sides, open_network
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    manifest = bundle.manifest
    model = manifest.model
    spec = NetworkSpec(model.name, manifest.classes.capacity, manifest.input.size, model.stem)
    edge = both_sides(open_network(spec), CutSpec(spec, model.split)).edge.train()
    optimizer = torch_optimizer(edge, manifest.optimizer)
    bias = torch.from_numpy(manifest.classes.bias())

    def step(batch: ImageBatch) -> object:
        logits, features = edge(torch.from_numpy(batch.images), bias)
        loss = cross_entropy(logits, torch.from_numpy(batch.labels))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item(), features.detach().numpy(), logits.detach().numpy()

    return step


def main(engine: str, folder: str, images: str, batch_size: str) -> None:
    """Do steps until standard input ends."""
    bundle = open_bundle(Path(folder))
    if engine == "learner":  # as hiertk-edge does, before the engine is imported
        return_freed_memory(bundle.manifest.engine.backend)
    step = eager_step(bundle) if engine == "eager" else learner_step(bundle)
    source = open_data_set(images, bundle.manifest.classes.names, bundle.manifest.input)
    found = source.training_batches(int(batch_size), seed=0, consumed=0, passes=1)
    batches = cycle([batch for batch, _ in zip(found, range(_BATCHES), strict=False)])
    for line in sys.stdin:
        took = []
        for _ in range(int(line)):
            batch = next(batches)
            started = time.perf_counter()
            result = step(batch)
            took.append(1000 * (time.perf_counter() - started))
            del result
        print(json.dumps(took), flush=True)
    print(peak_memory_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
