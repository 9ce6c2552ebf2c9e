"""What the API answers about classes: how well both exits know each, and what they confuse."""

from collections.abc import Sequence

import numpy as np
from hiertk_protocol.class_map import FIRST_VERSION, ClassSlot
from pydantic import BaseModel, ConfigDict

from hiertk_cloud.api.class_marks import Best, ClassMark, better
from hiertk_cloud.training.confusion import Evaluation
from hiertk_cloud.views.class_state import ClassState

MAX_DEVICES_NAMED = 100


class ExitView(BaseModel):
    """How well one exit knows a class: held-out accuracies, shares of 1; None until measured.

    forgetting: best less now, after Chaudhry et al., Riemannian Walk, ECCV 2018.
    """

    model_config = ConfigDict(frozen=True)

    accuracy: float | None = None
    best: float | None = None
    forgetting: float | None = None


class ClassView(BaseModel):
    """One class of the newest class map.

    since: the version of the map that gave it the slot. came, came_at_step: when the service first
    saw it there, seconds since 1970, and at which cloud step; None for the classes of the export.
    trained: samples that the cloud trained on since the service started; None where nobody counts.
    confirmed_devices: how many have put it in place.
    """

    model_config = ConfigDict(frozen=True)

    slot: int
    name: str
    since: int
    aliases: tuple[str, ...]
    came: float | None
    came_at_step: int | None
    trained: int | None
    held_out_samples: int
    early_exit: ExitView
    final_exit: ExitView
    confirmed_devices: int


class GoneClassView(BaseModel):
    """A class that was merged or retired. merged_into: the class that it is now, if any.

    gone: seconds since 1970. Accuracies are those of its last evaluation, and its best.
    """

    model_config = ConfigDict(frozen=True)

    slot: int
    name: str
    since: int
    gone: float
    merged_into: str | None
    early_exit: ExitView
    final_exit: ExitView


class ClassesView(BaseModel):
    """The class map and how well both exits know each class.

    class_slots: output units of both exits, used or free. *_forgetting: mean over the old classes,
    which are all but those of the version that gave a class its slot last. devices: that the
    registry knows; unconfirmed: those without the newest version, MAX_DEVICES_NAMED names at most
    of unconfirmed_devices. waiting_slots: of classes that are gone, free once every device has put
    that in place. requests_*: since the service started.
    """

    model_config = ConfigDict(frozen=True)

    class_map_version: int
    class_slots: int
    classes: tuple[ClassView, ...]
    gone: tuple[GoneClassView, ...]
    early_exit_forgetting: float | None
    final_exit_forgetting: float | None
    devices: int
    unconfirmed_devices: int
    unconfirmed: tuple[str, ...]
    waiting_slots: int
    requests_answered: int
    requests_refused: int


class ConfusionView(BaseModel):
    """The newest held-out evaluation of all devices; the matrices are None until there is one.

    matrix, early_exit_matrix: of the final and of the early exit, counts of samples: a row per
    label, a column per prediction, both in the order of `classes`, whose slots are `slots`.
    """

    model_config = ConfigDict(frozen=True)

    classes: tuple[str, ...]
    slots: tuple[int, ...]
    matrix: list[list[int]] | None = None
    early_exit_matrix: list[list[int]] | None = None
    samples: int = 0
    accuracy: float | None = None
    early_exit_accuracy: float | None = None


def classes_of(
    state: ClassState, class_slots: int, evaluation: Evaluation | None, marks: Sequence[ClassMark]
) -> ClassesView:
    """Put together what is known of the classes. marks: what was kept of them until now."""
    newest = state.newest
    kept = {(mark.slot, mark.since): mark for mark in marks}
    classes = tuple(
        _class_view(entry, place, state, evaluation, kept.get((entry.slot, entry.since)))
        for place, entry in enumerate(newest.slots)
    )
    there = {(entry.slot, entry.since) for entry in newest.slots}
    gone = [mark for origin, mark in kept.items() if origin not in there and mark.gone is not None]
    old = _old(classes)
    unconfirmed = state.unconfirmed
    return ClassesView(
        class_map_version=newest.version,
        class_slots=class_slots,
        classes=classes,
        gone=tuple(_gone_view(mark, state) for mark in gone),
        early_exit_forgetting=_mean([one.early_exit.forgetting for one in old]),
        final_exit_forgetting=_mean([one.final_exit.forgetting for one in old]),
        devices=len(state.confirmed),
        unconfirmed_devices=len(unconfirmed),
        unconfirmed=tuple(unconfirmed[:MAX_DEVICES_NAMED]),
        waiting_slots=state.waiting_slots,
        requests_answered=state.requests_answered,
        requests_refused=state.requests_refused,
    )


def confusion_of(state: ClassState, evaluation: Evaluation | None) -> ConfusionView:
    """Return both exits' confusion matrices with their classes and accuracies."""
    classes = state.newest if evaluation is None else evaluation.classes
    named = {
        "classes": tuple(entry.name for entry in classes.slots),
        "slots": tuple(entry.slot for entry in classes.slots),
    }
    if evaluation is None:
        return ConfusionView.model_validate(named)
    samples = int(evaluation.samples.sum())
    return ConfusionView.model_validate(
        named
        | {
            "matrix": evaluation.final_exit.tolist(),
            "early_exit_matrix": evaluation.early_exit.tolist(),
            "samples": samples,
            "accuracy": evaluation.final_exit.trace() / samples if samples else None,
            "early_exit_accuracy": evaluation.early_exit.trace() / samples if samples else None,
        }
    )


def _class_view(
    entry: ClassSlot,
    place: int,
    state: ClassState,
    evaluation: Evaluation | None,
    mark: ClassMark | None,
) -> ClassView:
    is_new = mark is not None and entry.since > FIRST_VERSION
    samples = 0 if evaluation is None else int(evaluation.samples[place])
    early_exit = _kept_view(mark and mark.early_exit, mark and mark.early_exit_best)
    final_exit = _kept_view(mark and mark.final_exit, mark and mark.final_exit_best)
    if evaluation is not None and samples:
        early_exit = _measured_view(
            evaluation.early_exit[place, place], samples, mark and mark.early_exit_best
        )
        final_exit = _measured_view(
            evaluation.final_exit[place, place], samples, mark and mark.final_exit_best
        )
    return ClassView(
        slot=entry.slot,
        name=entry.name,
        since=entry.since,
        aliases=tuple(alias.name for alias in entry.aliases),
        came=mark.came if mark and is_new else None,
        came_at_step=mark.came_at_step if mark and is_new else None,
        trained=None if state.trained is None else state.trained.get(entry.slot, 0),
        held_out_samples=samples or (mark.samples if mark else 0),
        early_exit=early_exit,
        final_exit=final_exit,
        confirmed_devices=state.confirmed_by(entry.since),
    )


def _measured_view(correct: np.int64, samples: int, best: Best | None) -> ExitView:
    accuracy = float(correct) / samples
    return _kept_view(accuracy, better(best, Best(accuracy, samples)))


def _kept_view(accuracy: float | None, best: Best | None) -> ExitView:
    """Return what was measured last: a service that was just started has measured nothing yet."""
    if accuracy is None or best is None:
        return ExitView()
    forgetting = max(0.0, best.accuracy - accuracy)
    return ExitView(accuracy=accuracy, best=best.accuracy, forgetting=forgetting)


def _gone_view(mark: ClassMark, state: ClassState) -> GoneClassView:
    now = state.newest.successor(mark.slot, mark.since)
    return GoneClassView(
        slot=mark.slot,
        name=mark.name,
        since=mark.since,
        gone=mark.gone or 0.0,
        merged_into=now.name if now else None,
        early_exit=_kept_view(mark.early_exit, mark.early_exit_best),
        final_exit=_kept_view(mark.final_exit, mark.final_exit_best),
    )


def _old(classes: Sequence[ClassView]) -> Sequence[ClassView]:
    newest = max((one.since for one in classes), default=0)
    return [one for one in classes if one.since < newest] or classes


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
