"""The run as one picture: both exits over time, the backlog, and the bytes on the wire."""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
from hiertk_protocol.files import atomic_file

from hiertk.demo.results import Results
from hiertk.demo.watch import Moment

_EARLY, _FINAL, _GREY = "#c2571a", "#1f5fa8", "#8a8a8a"
_POINTS_PER_INCH = 130


def draw(history: list[Moment], results: Results, path: Path) -> None:
    """Write the picture as PNG. Raises StorageError."""
    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(2, 1))
    losses = figure.add_subplot(grid[1, 0])
    _losses(losses, history)
    _accuracies(figure.add_subplot(grid[0, 0], sharex=losses), history, results)
    _bytes(figure.add_subplot(grid[0, 1]), results)
    _backlog(figure.add_subplot(grid[1, 1], sharex=losses), history)
    figure.suptitle(
        f"{results.devices} devices and one cloud trainer, {results.training_images} images, "
        f"passes: {results.epochs}. On {results.held_out_images} held-out images: final exit "
        f"{results.final_exit_accuracy:.3f}, early exit {results.early_exit_accuracy:.3f}",
        fontsize=11,
    )
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_POINTS_PER_INCH)


def _accuracies(axes: Any, history: list[Moment], results: Results) -> None:
    times = [moment.seconds for moment in history]
    for name in _names(history):
        axes.plot(
            times, _device(history, name, "early_exit_accuracy"), color=_EARLY, lw=1, alpha=0.6
        )
        axes.plot(
            *_changes(times, _device(history, name, "early_exit_held_out_accuracy")),
            color=_EARLY,
            marker="o",
            ls="",
            ms=5,
        )
    axes.plot(times, _model(history, "final_exit_accuracy"), color=_FINAL, lw=1.6)
    axes.plot(
        *_changes(times, _model(history, "final_exit_held_out_accuracy")),
        color=_FINAL,
        marker="s",
        ls="",
        ms=6,
    )
    axes.axhline(results.final_exit_accuracy, color=_FINAL, ls=":", lw=1)
    axes.set(
        ylabel="accuracy", ylim=(0, 1), title="lines: newest training batches; marks: held out"
    )
    axes.title.set_fontsize(9)
    axes.grid(alpha=0.25)


def _losses(axes: Any, history: list[Moment]) -> None:
    times = [moment.seconds for moment in history]
    label = "early exits (devices)"
    for name in _names(history):
        axes.plot(times, _device(history, name, "early_exit_loss"), color=_EARLY, lw=1, label=label)
        label = ""
    axes.plot(
        times, _model(history, "final_exit_loss"), color=_FINAL, lw=1.6, label="final exit (cloud)"
    )
    axes.set(xlabel="seconds", ylabel="loss", ylim=(0, None))
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)


def _bytes(axes: Any, results: Results) -> None:
    bars = {
        "raw image": results.raw_bytes_per_sample,
        "features": results.feature_bytes_per_sample,
        "PNG file": results.png_bytes_per_sample,
    }
    drawn = axes.barh(list(bars), list(bars.values()), color=(_GREY, _FINAL, _GREY))
    axes.bar_label(drawn, fmt="%.0f", padding=3)
    axes.set(title="bytes per sample on the wire", xlim=(0, 1.2 * max(bars.values())))
    axes.title.set_fontsize(9)
    axes.invert_yaxis()


def _backlog(axes: Any, history: list[Moment]) -> None:
    times = [moment.seconds for moment in history]
    for name in _names(history):
        axes.plot(
            times,
            _device(history, name, "spool_batches"),
            color=_EARLY,
            lw=1,
            label=f"{name}: spool",
        )
    queue = [moment.model.stored_total - moment.model.consumed_total for moment in history]
    axes.plot(times, queue, color=_FINAL, lw=1.6, label="cloud: queue")
    axes.set(xlabel="seconds", ylabel="batches waiting", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.25)


def _names(history: list[Moment]) -> list[str]:
    return sorted(history[-1].devices)


def _device(history: list[Moment], name: str, field: str) -> list[float]:
    return [
        float(getattr(moment.devices[name], field)) if name in moment.devices else math.nan
        for moment in history
    ]


def _model(history: list[Moment], field: str) -> list[float]:
    """Return a field of the cloud's status; nothing before its first step."""
    return [
        float(getattr(moment.model, field)) if moment.model.cloud_step else math.nan
        for moment in history
    ]


def _changes(times: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Keep the points at which a measured value is new."""
    kept = [
        (time, value)
        for index, (time, value) in enumerate(zip(times, values, strict=True))
        if not math.isnan(value) and value > 0 and (index == 0 or value != values[index - 1])
    ]
    return [time for time, _ in kept], [value for _, value in kept]
