"""The Python learner as the phone's tests need it: a process beside the JVM.

python_learner.py golden BUNDLE OUT SAMPLES [CHECKPOINT]: train on so many images of each of the
bundle's golden batches and write what came out: OUT/results.safetensors and OUT/checkpoint.
python_learner.py turns BUNDLE BATCH_SIZE: read from standard input how many steps to do, and
print what each took in milliseconds, a line a turn.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.freed_memory import return_freed_memory
from hiertk_edge.golden import GoldenSteps
from hiertk_protocol.bundle import open_bundle
from safetensors.numpy import save_file


def golden(folder: str, out: str, samples: str, checkpoint: str | None = None) -> None:
    """Train on the golden batches, and write results and a checkpoint."""
    bundle = open_bundle(Path(folder))
    steps = GoldenSteps(bundle)
    learner = open_learner(bundle, checkpoint=Path(checkpoint) if checkpoint else None)
    chosen = slice(int(samples))
    batches = zip(steps.images, steps.labels, strict=True)
    results = [learner.step(images[chosen], labels[chosen]) for images, labels in batches]
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    learner.save(target / "checkpoint")
    tensors = {
        "losses": np.array([result.loss for result in results], np.float32),
        "features": np.stack([result.features for result in results]),
        "logits": np.stack([result.logits for result in results]),
        "edge_step": np.array([learner.edge_step], np.int64),
        "open_slots": np.array(sorted(learner.open_slots), np.int64),
    }
    save_file(tensors, target / "results.safetensors")


def turns(folder: str, batch_size: str) -> None:
    """Do steps until standard input ends, as `hiertk-edge run` would."""
    bundle = open_bundle(Path(folder))
    return_freed_memory(bundle.manifest.engine.backend)
    steps = GoldenSteps(bundle)
    chosen = np.arange(int(batch_size)) % steps.labels.size
    images = steps.images.reshape(-1, *steps.images.shape[2:])[chosen]
    labels = steps.labels.reshape(-1)[chosen]
    learner = open_learner(bundle)
    for line in sys.stdin:
        took = []
        for _ in range(int(line)):
            started = time.perf_counter()
            learner.step(images, labels)
            took.append(1000 * (time.perf_counter() - started))
        print(*took, flush=True)


COMMANDS: dict[str, Callable[..., None]] = {"golden": golden, "turns": turns}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
