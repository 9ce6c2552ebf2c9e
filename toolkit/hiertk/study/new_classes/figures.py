"""The study as pictures: accuracies phase by phase, and with the first examples of a class."""

from pathlib import Path
from statistics import fmean
from typing import Any

from hiertk.study.drawing import label_axes, new_figure, save_figure
from hiertk.study.new_classes.methods import JOINT, NAIVE, OURS, SLDA, TITLES
from hiertk.study.new_classes.records import Study
from hiertk.study.new_classes.settings import MARKS
from hiertk.study.new_classes.summary import (
    EXITS,
    all_classes,
    cells_of,
    marks_at,
    means_by_phase,
    splits_of,
)

_COLORS = {
    OURS.name: "#1f5fa8",
    NAIVE.name: "#b01c2e",
    SLDA: "#c2571a",
    "device-only": "#5a9367",
    "cloud-only": "#8a6bb0",
}
_JOINT_COLOR = "#111111"


def draw_phases(study: Study, path: Path) -> None:
    """Draw the mean accuracy on all classes so far, phase by phase. Raises StorageError."""
    splits = splits_of(study)
    figure = new_figure(len(splits))
    for row, split in enumerate(splits):
        for column, of in enumerate(EXITS):
            axes = figure.add_subplot(len(splits), 2, 2 * row + column + 1)
            for name in (OURS.name, "device-only", "cloud-only", SLDA, NAIVE.name):
                cells = cells_of(study, name, split)
                if not cells:
                    continue
                lines = [means_by_phase(cell, of) for cell in cells]
                classes = [len(phase.classes) for phase in cells[0].phases]
                axes.set_xticks(classes)
                _line(axes, name, classes, [fmean(values) for values in zip(*lines, strict=True)])
            if joint := cells_of(study, JOINT.name, split):
                level = 100 * fmean(all_classes(cell, of) for cell in joint)
                axes.axhline(level, color=_JOINT_COLOR, ls="--", lw=1.4, label=TITLES[JOINT.name])
            _label(axes, f"separation point {split}, {of} exit", "classes learned so far")
            axes.set_ylabel("accuracy on them, %")
    save_figure(figure, path)


def draw_first_examples(study: Study, path: Path) -> None:
    """Draw the accuracy on a new class with its first examples. Raises StorageError."""
    splits = splits_of(study)
    figure = new_figure(len(splits))
    for row, split in enumerate(splits):
        for column, of in enumerate(EXITS):
            axes = figure.add_subplot(len(splits), 2, 2 * row + column + 1)
            for name in (OURS.name, SLDA, NAIVE.name):
                cells = cells_of(study, name, split)
                marks = [(examples, marks_at(cells, examples)) for examples in MARKS]
                measured = [(examples, found) for examples, found in marks if found]
                if not measured:
                    continue
                means = [
                    fmean(one.early_new if of == "early" else one.final_new for one in found)
                    for _, found in measured
                ]
                _line(axes, name, [examples for examples, _ in measured], means)
            axes.axhline(50, color="#8a8a8a", ls=":", lw=1)
            _label(axes, f"separation point {split}, {of} exit", "examples of the new class")
            axes.set_ylabel("accuracy on it, %")
    save_figure(figure, path)


def _line(axes: Any, name: str, places: list[int], shares: list[float]) -> None:
    percent = [100 * share for share in shares]
    axes.plot(places, percent, color=_COLORS[name], marker="o", ms=3.5, label=TITLES[name])


def _label(axes: Any, title: str, across: str) -> None:
    label_axes(axes, title, across)
    axes.set_ylim(0, 100)
