"""Many cuts of one network at once: the edge parts that `hiertk-edge profile` measures."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hiertk_protocol.errors import ConfigError, ExportError, ModelError
from hiertk_protocol.files import atomic_folder

from hiertk.export.job import Progress, draft_manifest, open_for_export, write_edge
from hiertk.export.settings import ExportSettings
from hiertk.models import Cuttable, both_sides


@dataclass(frozen=True)
class ExportedCuts:
    """A profiling bundle: `folder/split-K` for each of `splits`, and why others are missing."""

    folder: Path
    splits: tuple[int, ...]
    left_out: dict[int, str]


def export_cuts(
    settings: ExportSettings,
    splits: tuple[int, ...] | None,
    progress: Progress = lambda _: None,
) -> ExportedCuts:
    """Export the edge part of several cuts (None: all) as a folder of bundles without cloud part.

    A cut that the engine cannot train is left out. Raises ConfigError, ModelError, or ExportError
    if no cut is left.
    """
    settings.check()
    network, _ = open_for_export(settings, progress)
    chosen = choose_points(network, splits, settings.bottleneck)
    left_out: dict[int, str] = {}
    with atomic_folder(settings.folder, replace=settings.force) as folder:
        for split in chosen:
            progress(f"separation point {split} of {len(network.points)}")
            own = replace(settings, split=split)
            sides = both_sides(network, own.spec)
            draft = draft_manifest(own, network, sides)
            place = folder / f"split-{split}"
            place.mkdir()
            try:
                write_edge(sides.edge, draft, place, lambda _: None)
            except ExportError as error:
                left_out[split] = str(error)
                shutil.rmtree(place)
        if len(left_out) == len(chosen):
            raise ExportError(f"no cut of {settings.model} can be trained: {left_out[chosen[0]]}")
    kept = tuple(split for split in chosen if split not in left_out)
    return ExportedCuts(settings.folder, kept, left_out)


def choose_points(
    network: Cuttable, splits: tuple[int, ...] | None, bottleneck: int | None
) -> tuple[int, ...]:
    """Return the given separation points, or (None) all that a bottleneck narrows.

    Raises ModelError.
    """
    if splits is not None:
        return tuple(network.point(split).number for split in splits)
    chosen = tuple(point.number for point in network.narrowed_by(bottleneck))
    if not chosen:
        raise ModelError(f"a bottleneck of {bottleneck} channels narrows no separation point")
    return chosen


def parse_splits(text: str) -> tuple[int, ...] | None:
    """Read `all` (None) or numbers with commas between. Raises ConfigError."""
    if text == "all":
        return None
    try:
        numbers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers:
        raise ConfigError(
            f"separation points {text!r}: give a number, numbers with commas between, or all"
        )
    return numbers
