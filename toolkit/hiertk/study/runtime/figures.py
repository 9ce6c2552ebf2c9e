"""The study of runtime as a picture: time per epoch, by way and link."""

from pathlib import Path
from typing import Any

from hiertk.planner.amounts import rate_text
from hiertk.study.drawing import label_axes, new_figure, save_figure
from hiertk.study.runtime.records import RuntimeStudy
from hiertk.study.runtime.settings import (
    EDGE_FIRST,
    JPEG,
    OURS,
    PNG,
    RAW,
    REPLAY,
    SPLIT_FP16,
    SPLIT_FP32,
    WAYS,
)
from hiertk.study.runtime.summary import best, epoch_s, links_of

_COLORS = {
    RAW: "#111111",
    PNG: "#666666",
    JPEG: "#aaaaaa",
    SPLIT_FP32: "#b01c2e",
    SPLIT_FP16: "#e07a84",
    OURS: "#1f5fa8",
    EDGE_FIRST: "#5a9367",
    REPLAY: "#8a6bb0",
}


def draw_study(study: RuntimeStudy, path: Path) -> None:
    """Draw the seconds of an epoch, each way at its fastest cut. Raises StorageError."""
    links = links_of(study)
    figure = new_figure(1)
    for column, bits_per_s in enumerate(links, start=1):
        _draw_link(figure.add_subplot(1, len(links), column), study, bits_per_s)
    save_figure(figure, path)


def _draw_link(axes: Any, study: RuntimeStudy, bits_per_s: float) -> None:
    raw = best(study, bits_per_s, RAW)
    found = {way: cell for way in _COLORS if (cell := best(study, bits_per_s, way)) is not None}
    for place, (way, cell) in enumerate(found.items()):
        seconds = epoch_s(study, cell)
        axes.bar(place, seconds, color=_COLORS[way], width=0.8, label=WAYS[way].title)
        if raw is not None:
            share = f"{seconds / epoch_s(study, raw):.2f}"
            axes.annotate(share, (place, seconds), ha="center", va="bottom", fontsize=7.5)
    label_axes(axes, rate_text(bits_per_s), "numbers: share of raw's time")
    axes.set_xticks([])
    axes.set_ylabel("seconds per epoch")
