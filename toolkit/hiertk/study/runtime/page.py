"""docs/runtime.md, written from the results."""

from pathlib import Path

from hiertk.planner.amounts import rate_text
from hiertk.study.markdown import table, write_studies
from hiertk.study.runtime.figures import draw_study
from hiertk.study.runtime.records import RuntimeResults, RuntimeStudy
from hiertk.study.runtime.summary import (
    HEADS,
    REACHED_HEADS,
    cells_at,
    links_of,
    reached_rows,
    row,
)
from hiertk.study.runtime.targets import verdicts
from hiertk.study.verdicts import verdict_table

_NOTES = Path(__file__).with_name("notes.md")
_HEAD = """\
# Runtime over a slow link: the study

Written by `hiertk study runtime`: change the program or its `notes.md`, not this page. Ways of
training side by side, in real processes over a shaped link. All figures: [{results}]({link})."""


def write_page(page: Path, results_file: Path, results: RuntimeResults) -> None:
    """Write the page, and its pictures beside the results. Raises StorageError."""
    write_studies(
        page, results_file, results, head=_HEAD, notes=_NOTES, draw=draw_study, tell=_study
    )


def _study(study: RuntimeStudy, picture: str) -> list[str]:
    settings, machine, found = study.settings, study.machine, verdicts(study)
    kinds = ", ".join(sorted({cell.link for cell in study.cells}))
    return [
        f"## {study.name}",
        f"""\
`{study.command}`

{settings.images:,} training images, {settings.epochs} epochs, batches of {settings.batch_size},
rate {settings.rate:g}; {settings.classes} classes; `{settings.backend}` on the device,
{settings.precision} in the cloud.
Run on {study.date}: {machine.hardware.processor},
{machine.hardware.cores} cores; link by {kinds}.""",
        f"![Seconds per epoch, by way and link]({picture})",
        *([verdict_table(found)] if found else []),
        *(part for bits_per_s in links_of(study) for part in _link(study, bits_per_s)),
    ]


def _link(study: RuntimeStudy, bits_per_s: float) -> list[str]:
    cells = cells_at(study, bits_per_s)
    parts = [
        f"### {rate_text(bits_per_s)}",
        table(HEADS, [row(study, cell) for cell in cells]),
    ]
    if study.settings.levels:
        rows = [line for cell in cells for line in reached_rows(study, cell)]
        levels = ", ".join(f"{100 * level:g}" for level in study.settings.levels)
        parts.append(
            f"When {levels} % of {study.settings.test_images:,} test images were first right; "
            "a level that has no line was not reached:"
        )
        parts.append(table(REACHED_HEADS, rows))
    return parts
