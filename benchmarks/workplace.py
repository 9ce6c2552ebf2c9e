"""What the benchmarks share: a bundle, real images, real features, and how much to measure."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

from hiertk.data import load, write_image_folder
from hiertk.export import ExportSettings, export_bundle
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.learner import SlotArray, StepResult
from hiertk_edge.sources import ImageBatch, open_data_set
from hiertk_protocol.bundle import Bundle

ROOT = Path(__file__).resolve().parent.parent
Effort = Literal["tiny", "quick", "full"]
Tell = Callable[[str], None]
_DATA = "fashion-mnist-mini"
_IMAGES = {"tiny": 96, "quick": 3200, "full": 3200}
_HELD_OUT = {"tiny": 64, "quick": 500, "full": 1000}
_WARM_UP_STEPS = {"tiny": 2, "quick": 20, "full": 50}
_PATIENCE_S = 900.0


@dataclass(frozen=True)
class Workplace:
    """A folder to work in, a bundle of ResNet-18 at separation point 2, and where to tell of it.

    effort: tiny is for tests, quick to try, full for figures that count.
    """

    folder: Path
    bundle: Bundle
    effort: Effort
    tell: Tell

    @property
    def images(self) -> Path:
        """Training images as devices read them."""
        return write_images(self.folder / "train", "train", _IMAGES[self.effort])

    @property
    def held_out(self) -> Path:
        """Held-out images as devices read them."""
        return write_images(self.folder / "test", "test", _HELD_OUT[self.effort])

    def trained_features(self, count: int) -> list[tuple[StepResult, SlotArray]]:
        """Return `count` batches of features and their labels, after some steps of training."""
        learner = open_learner(self.bundle)
        warm_up = _WARM_UP_STEPS[self.effort]
        size = self.bundle.manifest.engine.batch_size
        batches = training_batches(self.bundle, self.images, size, warm_up + count)
        results = [(learner.step(one.images, one.labels), one.labels) for one in batches]
        return results[warm_up:]


def export_resnet18(
    folder: Path,
    *,
    split: int = 2,
    input_size: int = 32,
    bits: int = 4,
    bottleneck: int | None = None,
) -> Bundle:
    """Export ResNet-18 for Fashion-MNIST's ten classes."""
    settings = ExportSettings(
        model="resnet18",
        split=split,
        target="linux",
        classes=load(_DATA, "test").classes,
        input_size=input_size,
        bits=bits,
        bottleneck=bottleneck,
        out=folder,
    )
    return export_bundle(settings).bundle


def write_images(folder: Path, part: Literal["train", "test"], count: int) -> Path:
    """Write the first `count` images of a part of Fashion-MNIST, unless they are there."""
    if not folder.exists():
        write_image_folder(load(_DATA, part), range(count), folder)
    return folder


def training_batches(
    bundle: Bundle, images: Path, batch_size: int, count: int
) -> Iterator[ImageBatch]:
    """Yield batches of real images, from as many passes as it takes."""
    manifest = bundle.manifest
    source = open_data_set(f"folder:{images}", manifest.classes.names, manifest.input)
    batches = source.training_batches(batch_size, seed=0, consumed=0, passes=1 + count)
    return islice((one for one in batches if len(one.labels) == batch_size), count)


@cache
def environment() -> dict[str, str]:
    """Return a child's environment: one thread, and this package on its path."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def python(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of ours."""
    return [sys.executable, "-m", module, *arguments]


def wait_for(is_there: Callable[[], bool]) -> None:
    """Wait until a cloud has come so far. Raises RuntimeError if it does not."""
    deadline = time.monotonic() + _PATIENCE_S
    while not is_there():
        if time.monotonic() > deadline:
            raise RuntimeError("the cloud does not get there")
        time.sleep(0.2)
