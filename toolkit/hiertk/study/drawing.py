"""What the pictures of all studies have in common."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.files import atomic_file


def check_page(page: Path) -> None:
    """Refuse a page that cannot be written, before anything is run. Raises ConfigError."""
    if page.suffix != ".md":
        raise ConfigError(f"--page {page}: a page of results is Markdown: name it .md")
    if find_spec("matplotlib") is None:
        raise ConfigError("--page needs matplotlib for its pictures: pip install 'hiertk[demo]'")


def new_figure(rows: int) -> Any:
    """Return an empty figure of so many rows of charts."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    return Figure(figsize=(9.6, 1.2 + 3.1 * rows), layout="constrained")


def label_axes(axes: Any, title: str, across: str) -> None:
    """Give a chart its title and a quiet frame."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(across)
    axes.grid(axis="y", alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG, with one legend below all charts. Raises StorageError."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
