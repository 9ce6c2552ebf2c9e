"""The study of accuracy as pictures: accuracy and the device's burden, by separation point."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hiertk.study.accuracy.records import AccuracyStudy
from hiertk.study.accuracy.settings import REPLAY, SENT
from hiertk.study.accuracy.summary import early, final, full, variants
from hiertk.study.accuracy.variants import find_variant
from hiertk.study.drawing import label_axes, new_figure, save_figure
from hiertk.study.spread import Spread

_EARLY, _FINAL, _REPLAY = "#c2571a", "#1f5fa8", "#5a9367"
_NARROWED = ("#8a5fa8", "#c9789f", "#9c755f")
_FULL = "#111111"


def draw_study(study: AccuracyStudy, path: Path) -> None:
    """Draw accuracies and the device's burden over the separation points. Raises StorageError."""
    figure = new_figure(1)
    _draw_accuracy(figure.add_subplot(1, 2, 1), study)
    _draw_burden(figure.add_subplot(1, 2, 2), study)
    save_figure(figure, path)


def _draw_accuracy(axes: Any, study: AccuracyStudy) -> None:
    splits = [point.split for point in study.points]
    whole = full(study)
    axes.axhline(100 * whole.mean, color=_FULL, ls="--", lw=1.4, label="full cloud")
    axes.axhspan(100 * min(whole.values), 100 * max(whole.values), color=_FULL, alpha=0.08)
    narrowed = [name for name in variants(study) if find_variant(name).is_narrowed]
    lines: tuple[tuple[str, str, Sequence[Spread | None]], ...] = (
        ("early exit", _EARLY, [early(study, split) for split in splits]),
        ("final exit, 4 bits", _FINAL, [final(study, split, way=SENT.name) for split in splits]),
        ("with replay", _REPLAY, [final(study, split, way=REPLAY.name) for split in splits]),
        *(
            (f"with a {name}", color, [final(study, split, name) for split in splits])
            for name, color in zip(narrowed, _NARROWED, strict=False)
        ),
    )
    for name, color, spreads in lines:
        _line(axes, name, color, splits, spreads)
    axes.set_xticks(splits)
    label_axes(axes, study.name, "separation point")
    axes.set_ylabel("accuracy, %")


def _line(
    axes: Any, name: str, color: str, splits: list[int], spreads: Sequence[Spread | None]
) -> None:
    found = [(split, one) for split, one in zip(splits, spreads, strict=True) if one is not None]
    if not found:
        return
    places = [split for split, _ in found]
    axes.plot(
        places, [100 * one.mean for _, one in found], color=color, marker="o", ms=3.5, label=name
    )
    low, high = ([100 * of(one.values) for _, one in found] for of in (min, max))
    axes.fill_between(places, low, high, color=color, alpha=0.15, lw=0)


def _draw_burden(axes: Any, study: AccuracyStudy) -> None:
    splits = [point.split for point in study.points]
    total = study.points[0].edge_parameters + study.points[0].cloud_parameters
    parameters = [100 * point.edge_parameters / total for point in study.points]
    axes.bar(splits, parameters, color=_FINAL, alpha=0.35, width=0.6)
    axes.set_xticks(splits)
    label_axes(axes, "on the device", "separation point")
    axes.set_ylabel("parameters, % of the network (bars)")
    memory = axes.twinx()
    megabytes = [point.memory_bytes / 1e6 for point in study.points]
    memory.plot(splits, megabytes, color=_EARLY, marker="o", ms=3.5)
    memory.set_ylim(0, 1.05 * max(megabytes))
    memory.set_ylabel("memory of a step, MB (line)")
