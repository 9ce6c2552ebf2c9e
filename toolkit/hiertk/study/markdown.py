"""Pages of results as Markdown."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hiertk_protocol.files import atomic_file

from hiertk.study.results import AnyStudy, Results


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_studies(
    page: Path,
    results_file: Path,
    results: Results[AnyStudy],
    *,
    head: str,
    notes: Path,
    draw: Callable[[AnyStudy, Path], None],
    tell: Callable[[AnyStudy, str], list[str]],
) -> None:
    """Write a page of several studies, and their pictures beside the results.

    head: with places for the name of the results and for the link to them. notes: what stands
    below the studies. tell: returns a study's parts, given the link to its picture. Raises
    StorageError.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    link = os.path.relpath(results_file, page.parent)
    parts = [head.format(results=results_file.name, link=link)]
    for number, study in enumerate(results.studies, start=1):
        picture = results_file.with_name(f"{results_file.stem}-{number}.png")
        if study.has_picture:
            draw(study, picture)
        parts += tell(study, os.path.relpath(picture, page.parent))
    parts.append(notes.read_text(encoding="utf-8"))
    with atomic_file(page) as temporary:
        temporary.write_text("\n\n".join(part.strip("\n") for part in parts) + "\n", "utf-8")
