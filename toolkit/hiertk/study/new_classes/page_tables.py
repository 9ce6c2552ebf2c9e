"""The tables of the study's page."""

from statistics import fmean, median

from hiertk.study.new_classes.methods import JOINT, OURS, SWITCHED_OFF, TITLES, WHOLE
from hiertk.study.new_classes.records import Cell, Mark, Study
from hiertk.study.new_classes.summary import (
    EXITS,
    Exit,
    all_classes,
    cells_of,
    forgotten,
    known_with,
    marks_at,
    new_classes,
    old_classes,
    shares_at_end,
    splits_of,
    spread,
)
from hiertk.study.spread import Spread

_SHOWN_MARKS = (5, 20, 100)
_NONE = "-"
_ENDS = (
    "Accuracy in percent, each class counting the same; old: those of the base. Lost: points "
    "that the old classes fell from their best."
)
_EXAMPLES = (
    "Accuracy on the new class, early / final exit, and of the early exit on the classes "
    "before it, in percent: means over new classes and seeds. Known: how many of the new "
    "classes the early exit knows with 50 examples (accuracy above 50 %, and not below it "
    "again with up to 100), with how many of them and after how long a training on the "
    "device (medians)."
)


def ends(study: Study, split: int) -> str:
    return "\n".join(
        [
            f"### Separation point {split}, after the last new class",
            "",
            _ENDS,
            *_ends({name: cells_of(study, name, split) for name in WHOLE}),
        ]
    )


def switched_off(study: Study) -> str:
    """Show what each part alone gives: ours, and without it, on the seeds that both were run on."""
    lines = ["## Each part switched off alone"]
    for split in splits_of(study):
        found = _of_parts(study, split)
        if found:
            seeds = sorted({cell.key.seed for cells in found.values() for cell in cells})
            lines += [
                "",
                f"### Separation point {split}, seed {', '.join(map(str, seeds))}: at the end",
                *_ends(found),
                "",
                f"### Separation point {split}: a new class with its first examples",
                "",
                *_first_examples(found),
            ]
    return "\n".join(lines) if len(lines) > 1 else ""


def _of_parts(study: Study, split: int) -> dict[str, list[Cell]]:
    parts = {part.name: cells_of(study, part.name, split) for part in SWITCHED_OFF}
    seeds = {cell.key.seed for cells in parts.values() for cell in cells}
    ours = [cell for cell in cells_of(study, OURS.name, split) if cell.key.seed in seeds]
    return {OURS.name: ours, **parts} if seeds else {}


def _ends(found: dict[str, list[Cell]]) -> list[str]:
    columns = (all_classes, old_classes, new_classes)
    lines = []
    for of in EXITS:
        lines += ["", f"| {of} exit | all | old | new | lost |", "| --- | --- | --- | --- | --- |"]
        for method, cells in found.items():
            if not cells:
                continue
            title = TITLES[method]
            shown = [spread(cells, figure, of).percent for figure in columns]
            lost = spread(cells, forgotten, of).percent if len(cells[0].phases) > 1 else _NONE
            lines.append(f"| {title} | {' | '.join(shown)} | {lost} |")
    return lines


def first_examples(study: Study, split: int) -> str:
    lines = [
        f"### Separation point {split}: a new class with its first examples",
        "",
        _EXAMPLES,
        "",
        *_first_examples({name: cells_of(study, name, split) for name in WHOLE}),
    ]
    return "\n".join(lines)


def _first_examples(found: dict[str, list[Cell]]) -> list[str]:
    lines = [
        "| method | " + " | ".join(f"{one} examples" for one in _SHOWN_MARKS) + " | known |",
        "| --- |" + " --- |" * (len(_SHOWN_MARKS) + 1),
    ]
    for method, cells in found.items():
        marks = [marks_at(cells, examples) for examples in _SHOWN_MARKS]
        if any(marks):
            shown = [_mark_text(those) for those in marks]
            lines.append(f"| {TITLES[method]} | {' | '.join(shown)} | {_known_text(cells)} |")
    return lines


def _mark_text(marks: list[Mark]) -> str:
    if not marks:
        return _NONE
    early, final, old = (
        100 * fmean(values)
        for values in zip(
            *((one.early_new, one.final_new, one.early_old) for one in marks), strict=True
        )
    )
    return f"{early:.0f} / {final:.0f}, before: {old:.0f}"


def _known_text(cells: list[Cell]) -> str:
    phases = [phase for cell in cells for phase in cell.phases if phase.marks]
    known = [found for phase in phases if (found := known_with(phase.marks)) is not None]
    soon = [mark for mark in known if mark.examples <= 50]
    if not soon:
        return f"0 of {len(phases)}"
    times = [mark.seconds for mark in soon if mark.seconds is not None]
    took = f", {median(times):.1f} s" if times else ""
    return (
        f"{len(soon)} of {len(phases)}: {median(mark.examples for mark in soon):.0f} examples{took}"
    )


def every_class(study: Study, split: int) -> str:
    """Show every class of ours beside joint training."""
    names = sorted({name for cell in study.cells for name in cell.last.classes})
    lines = [
        f"### Separation point {split}: every class at the end",
        "",
        f"Accuracy in percent: {TITLES[OURS.name]}, and joint training.",
        "",
        "| class | early | early, joint | final | final, joint |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in names:
        shown = [
            _class_text(cells_of(study, method, split), name, of)
            for of in EXITS
            for method in (OURS.name, JOINT.name)
        ]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _class_text(cells: list[Cell], name: str, of: Exit) -> str:
    if not cells:
        return _NONE
    places = [cell.last.classes.index(name) for cell in cells]
    return Spread(
        tuple(shares_at_end(cell, of)[place] for cell, place in zip(cells, places, strict=True))
    ).percent


def other_backends(study: Study) -> str:
    spots = [cell for cell in study.cells if cell.key.backend != "torch"]
    if not spots:
        return ""
    lines = [
        "## Other engines on the device",
        "",
        "Spot checks, one seed; accuracy on all classes at the end, in percent.",
        "",
        "| backend | separation point | method | early exit | final exit | lost, early |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    twins = [
        cell
        for cell in study.cells
        if cell.key.backend == "torch"
        and any(
            (cell.key.method, cell.key.split, cell.key.seed)
            == (spot.key.method, spot.key.split, spot.key.seed)
            for spot in spots
        )
    ]
    for cell in (*twins, *spots):
        shown = (all_classes(cell, "early"), all_classes(cell, "final"), forgotten(cell, "early"))
        figures = " | ".join(f"{100 * one:.1f}" for one in shown)
        place = f"{cell.key.backend} | {cell.key.split} | {TITLES[cell.key.method]}"
        lines.append(f"| {place} | {figures} |")
    return "\n".join(lines)


def storage(study: Study) -> str:
    bound = study.settings.memory_bytes / (1 << 20)
    text = (
        f"The device's rehearsal memory is bounded by {bound:.0f} MiB, SQLite's own bytes "
        "included; the cloud replays from its log. No method may take more; this is what each "
        "takes at the end, in MB (pixels on the device, messages in the cloud; means and "
        "covariances for streaming LDA). Joint training is bounded by nothing."
    )
    lines = [
        "## What is kept",
        "",
        text,
        "",
        "| method | "
        + " | ".join(f"split {one}: device, cloud" for one in splits_of(study))
        + " |",
        "| --- |" + " --- |" * len(splits_of(study)),
    ]
    for method, title in TITLES.items():
        shown = []
        for split in splits_of(study):
            cells = cells_of(study, method, split)
            if not cells:
                shown.append(_NONE)
                continue
            device, cloud = (
                fmean(values) / 1e6
                for values in zip(
                    *((cell.device_bytes, cell.cloud_bytes) for cell in cells), strict=True
                )
            )
            shown.append(f"{device:.2f}, {cloud:.2f}")
        lines.append(f"| {title} | {' | '.join(shown)} |")
    return "\n".join(lines)
