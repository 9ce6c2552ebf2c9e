"""The Python learner as the phone's tests need it: a process beside the JVM.

python_learner.py golden BUNDLE OUT SAMPLES [CHECKPOINT]: train on so many images of each of the
bundle's golden batches and write what came out: OUT/results.safetensors and OUT/checkpoint.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hiertk_edge.engines.backends import open_learner
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


COMMANDS: dict[str, Callable[..., None]] = {"golden": golden}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
