"""docs/accuracy.md, written from the results."""

from pathlib import Path

from hiertk.study.accuracy.figures import draw_study
from hiertk.study.accuracy.records import AccuracyResults, AccuracyStudy, Point, Rates, Tuned
from hiertk.study.accuracy.settings import BITS, SENT
from hiertk.study.accuracy.summary import (
    ALLOWED,
    early,
    final,
    full,
    gain,
    sent,
    variants,
    verdicts_at,
    ways,
)
from hiertk.study.markdown import table, write_studies
from hiertk.study.spread import Spread

_NOTES = Path(__file__).with_name("notes.md")
_HEAD = """\
# Accuracy by separation point: the study

Written by `hiertk study accuracy`: change the program or its `notes.md`, not this page. Everything
is trained in one process by the reference, from fresh weights, without augmentation. Figures are
shares of right predictions on test images in percent: means over the seeds, with the lowest and the
highest in parentheses. All of them: [{results}]({link})."""

_PICTURE = "![Accuracy, and the device's burden, by separation point]({})"


def write_page(page: Path, results_file: Path, results: AccuracyResults) -> None:
    """Write the page, and its pictures beside the results. Raises StorageError."""
    write_studies(
        page, results_file, results, head=_HEAD, notes=_NOTES, draw=draw_study, tell=_study
    )


def _study(study: AccuracyStudy, picture: str) -> list[str]:
    settings, machine = study.settings, study.machine
    seeds = len({cell.key.seed for cell in study.cells})
    rendered = " (rendered characters, no photographs)" if "rendered" in settings.data else ""
    return [
        f"## {study.name}",
        f"""\
`{study.command}`

{settings.images:,} training images{rendered}, {settings.passes} passes, batches of
{settings.batch_size}; {settings.test_images:,} test images; {settings.classes} classes; {seeds}
{"seeds" if seeds > 1 else "seed"}.
Run on {study.date}: {machine.hardware.processor},
{machine.hardware.cores} cores ({study.device});
{study.seconds / 60:.0f} minutes of one process.""",
        *([_PICTURE.format(picture)] if study.has_picture else []),
        f"""\
Full-cloud training reaches **{full(study).percent}**. As it is deployed, at 4 bits; wanted: at most
{ALLOWED:g} points below full-cloud training, and above the early exit:""",
        _verdicts(study),
        "### Both exits",
        _exits(study),
        "### What the cloud adds: final exit above early exit, points",
        _gains(study),
        *(_variant(study, variant) for variant in variants(study)[1:]),
        "### What a device carries",
        _burden(study),
        f"### Learning rates (full cloud {_full_rates(study.rates)})",
        _rates(study),
    ]


def _verdicts(study: AccuracyStudy) -> str:
    shown = variants(study)
    judged = [
        [verdicts_at(study, point.split, variant) for variant in shown] for point in study.points
    ]
    rows = [
        [str(point.split)]
        + [f"{below.found}, {below.mark}" for below, _ in of]
        + [f"{above.found}, {above.mark}" for _, above in of]
        for point, of in zip(study.points, judged, strict=True)
    ]
    heads = [f"below full cloud, {name}" for name in shown]
    return table(["split", *heads, *(f"above early exit, {name}" for name in shown)], rows)


def _exits(study: AccuracyStudy) -> str:
    shown = [way for way in ways(study) if way in {one.name for one in BITS}]
    rows = [
        [
            str(point.split),
            early(study, point.split).percent,
            *(_text(final(study, point.split, way=way)) for way in shown),
        ]
        for point in study.points
    ]
    return table(["split", "early exit", *(f"final exit, {way}" for way in shown)], rows)


def _gains(study: AccuracyStudy) -> str:
    shown = [way for way in ways(study) if way.startswith(SENT.name)]
    rows = [
        [str(point.split), *(_text(gain(study, point.split, way)) for way in shown)]
        for point in study.points
    ]
    return table(["split", *shown], rows)


def _variant(study: AccuracyStudy, variant: str) -> str:
    rows = [
        [
            str(point.split),
            early(study, point.split, variant).percent,
            _text(final(study, point.split, variant)),
            _text(final(study, point.split)),
            f"{sent(study, point.split, variant):.0f}",
        ]
        for point in study.points
    ]
    title = f"### Variant {variant}, 4 bits (full cloud {full(study, variant).percent})"
    heads = ["split", "early exit", "final exit", "plain network's final exit", "sent, B/sample"]
    return title + "\n\n" + table(heads, rows)


def _burden(study: AccuracyStudy) -> str:
    rows = [_point(study, point) for point in study.points]
    heads = ["split", "after", "features", "parameters", "memory of a step, MB", "sent, B/sample"]
    return table(heads, rows)


def _point(study: AccuracyStudy, point: Point) -> list[str]:
    return [
        str(point.split),
        point.after,
        "x".join(map(str, point.shape)),
        f"{point.edge_parameters:,}",
        f"{point.memory_bytes / 1e6:.1f}",
        f"{sent(study, point.split):.0f}",
    ]


def _rates(study: AccuracyStudy) -> str:
    rates, rows = study.rates, []
    for variant in variants(study):
        for cut in rates.cuts:
            served = [str(one.split) for one in study.points if rates.at(variant, one.split) == cut]
            if served:
                tuned = f"{cut.variant} at {cut.split}"
                rows.append([variant, ", ".join(served), tuned, _rate(cut.edge), _rate(cut.cloud)])
    return table(["variant", "split", "tuned on", "edge", "cloud"], rows)


def _full_rates(rates: Rates) -> str:
    others = (f"; {variant}: {_rate(tuned)}" for variant, tuned in rates.full_of.items())
    return _rate(rates.full) + "".join(others)


def _rate(tuned: Tuned) -> str:
    return f"{tuned.rate:g}" + (f", by {tuned.seeds} seeds" if tuned.seeds > 1 else "")


def _text(spread: Spread | None) -> str:
    return "-" if spread is None else spread.percent
