"""What the memory of a device is for: its network's training, and its checkpoints."""

import json
import subprocess

from benchmarks.figures import Figure
from benchmarks.workplace import Workplace, environment, export_resnet18, python

TITLE = "What a device's memory is for"
HOW = """\
`OrtLearner` as `hiertk-edge` runs it, ResNet-18 at 32x32, batches of 32 real images, one thread, a
process for each cut: its peak once the learner is open (parameters, gradients, AdamW's two
moments), after eight steps (activations as well), and once its checkpoint is written, which the
engine puts together in memory first. Each is over the process with the engine imported and images
read; a part that takes less than an earlier one shows that one's peak."""

_PARTS = ("learner open", "steps trained", "checkpoint written")
_CUTS: tuple[tuple[int, int | None], ...] = ((2, None), (4, None), (4, 32), (6, None), (8, None))


def measure(place: Workplace) -> list[Figure]:
    """Return the peaks over the engine's, for each cut and part."""
    cuts = _CUTS[:1] if place.effort == "tiny" else _CUTS
    return [figure for split, bottleneck in cuts for figure in _at(place, split, bottleneck)]


def _at(place: Workplace, split: int, bottleneck: int | None) -> list[Figure]:
    folder = place.folder / f"memory-{split}-{bottleneck}"
    bundle = export_resnet18(folder, split=split, bottleneck=bottleneck)
    checkpoint = place.folder / f"{folder.name}.checkpoint"
    command = python(
        "benchmarks.memory_parts_process", str(bundle.folder), str(place.images), str(checkpoint)
    )
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment())
    engine, *peaks = json.loads(done.stdout)
    cut = f"separation point {split}" + (f", bottleneck {bottleneck}" if bottleneck else "")
    figures = [
        Figure(what=f"{cut}: {part}", unit="MB", samples=((peak - engine) / 1e6,))
        for part, peak in zip(_PARTS, peaks, strict=True)
    ]
    place.tell(f"{cut}: {', '.join(one.text for one in figures)} over {engine / 1e6:.0f} MB")
    return figures
