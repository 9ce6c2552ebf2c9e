"""docs/new-classes.md, written from the results."""

import os
from pathlib import Path

from hiertk_protocol.files import atomic_file

from hiertk.study.new_classes.figures import draw_first_examples, draw_phases
from hiertk.study.new_classes.page_tables import (
    ends,
    every_class,
    first_examples,
    other_backends,
    storage,
    switched_off,
)
from hiertk.study.new_classes.records import Study
from hiertk.study.new_classes.summary import splits_of, verdicts
from hiertk.study.verdicts import verdict_table

_NOTES = Path(__file__).with_name("notes.md")


def write_page(page: Path, results: Path, study: Study) -> None:
    """Write the page, and its pictures beside the results. Raises StorageError."""
    pictures = [results.with_name(f"{results.stem}-{name}.png") for name in ("phases", "examples")]
    draw_phases(study, pictures[0])
    draw_first_examples(study, pictures[1])
    page.parent.mkdir(parents=True, exist_ok=True)
    here = page.parent
    links = [os.path.relpath(path, here) for path in (results, *pictures)]
    parts = [_head(study, links[0]), *(_verdicts(study, split) for split in splits_of(study))]
    parts += [
        "## Phase by phase",
        f"![Accuracy on the classes so far]({links[1]})",
        *(ends(study, split) for split in splits_of(study)),
        "## Starting from little",
        f"![Accuracy with the first examples]({links[2]})",
        *(first_examples(study, split) for split in splits_of(study)),
        *(every_class(study, split) for split in splits_of(study)),
        switched_off(study),
        other_backends(study),
        storage(study),
        _NOTES.read_text(encoding="utf-8"),
    ]
    with atomic_file(page) as temporary:
        temporary.write_text("\n\n".join(part.strip("\n") for part in parts) + "\n", "utf-8")


def _head(study: Study, results: str) -> str:
    settings, machine = study.settings, study.machine
    seeds = len({cell.key.seed for cell in study.cells})
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return f"""\
# New classes: the study

Written by `{study.command}`: change the program or its
`notes.md`, not this page. All figures, with every class and seed:
[{Path(results).name}]({results}).

{settings.model} with torchvision's stem at {settings.input_size}x{settings.input_size} on
{settings.data}, features of {settings.bits} bits. {settings.base_classes} classes are learned
first, from {settings.base_images} images each; then the others come one after the other, each as a
stream of {settings.new_images} images. Every image is new to the device once. Measured on
{settings.test_images} test images, {seeds} {"seeds" if seeds > 1 else "seed"}; a seed decides the
weights, the images and the order of the classes (seed 0: the data set's own). Figures are means
over the seeds, with the lowest and the highest in parentheses.

Run on {study.date}: {machine.hardware.processor}, {machine.hardware.cores} cores,
{machine.hardware.memory_bytes / 1e9:.0f} GB; {machine.hardware.system}; Python {machine.python};
{versions}. All cells together took {study.seconds / 60:.0f} minutes of one process."""


def _verdicts(study: Study, split: int) -> str:
    title = f"## Separation point {split}: what was to be reached"
    return f"{title}\n\n{verdict_table(verdicts(study, split))}"
