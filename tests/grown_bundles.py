"""A small bundle that is really exported, and the same really grown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiertk_protocol.bundle import Bundle

FACTORY = "faults.small_network:network"
CLASSES = ("cat", "dog", "owl", "fox")
OLD_SLOTS, NEW_SLOTS = 6, 9
BATCH = 8


@dataclass(frozen=True)
class Generations:
    """A bundle, and what it was grown to."""

    old: Bundle
    grown: Bundle


def export_small(folder: Path, **settings: Any) -> Bundle:
    """Export a network of milliseconds with a free slot or two."""
    from hiertk.export import ExportSettings, export_bundle  # imports torch

    fixed: dict[str, Any] = {
        "model": FACTORY,
        "split": 1,
        "target": "linux",
        "classes": CLASSES,
        "class_capacity": OLD_SLOTS,
        "batch_size": BATCH,
        "out": folder,
    }
    return export_bundle(ExportSettings(**(fixed | settings))).bundle


def grow_small(bundle: Bundle, folder: Path, capacity: int = NEW_SLOTS) -> Bundle:
    """Grow what `export_small` gave."""
    from hiertk.export.grow import GrowSettings, grow_bundle

    return grow_bundle(bundle, GrowSettings(capacity, folder, FACTORY)).bundle


def both(folder: Path, **settings: Any) -> Generations:
    """Export and grow."""
    old = export_small(folder / "old", **settings)
    return Generations(old, grow_small(old, folder / "grown"))
