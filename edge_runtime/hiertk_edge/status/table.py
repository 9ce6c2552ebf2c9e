"""What `hiertk-edge status` shows people."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hiertk_edge.status.file import ClassStatus, Status, uptime_s
from hiertk_edge.status.stored_state import StoredState

_MOST_CLASSES = 20

Row = tuple[str, str]


def running_table(status: Status) -> RenderableType:
    """Return what a device that runs tells of itself."""
    writer = status.writer
    title = f"{status.device or 'device'}: {status.state.lower() or 'running'}"
    if writer.is_silent:
        title += f", but silent for {_duration(writer.age_s)}"
    parts: list[RenderableType] = [Text(title, style="bold"), _table(_of_running(status))]
    if status.classes:
        parts.append(_classes(status.classes))
    if status.problems:
        parts.append(Text("Problems", style="bold"))
        parts += [Text(f"  {line}") for line in status.problems]
    return Group(*parts)


def stopped_table(status: Status | None, stored: StoredState) -> RenderableType:
    """Return what is known of a device that does not run."""
    title = "not running" if status is None else f"{status.device or 'device'}: {_since(status)}"
    parts: list[RenderableType] = [Text(title, style="bold"), _table(_of_stopped(stored))]
    if status is not None and status.problems:
        parts.append(Text("Problems, when it was last heard of", style="bold"))
        parts += [Text(f"  {line}") for line in status.problems]
    return Group(*parts)


def _of_running(status: Status) -> Iterator[Row]:
    yield "edge step", f"{_count(status.edge_step)}, {_number(status.step_ms, 'ms', 0)} each"
    yield (
        "early exit",
        _exit(
            status.early_exit_loss, status.early_exit_accuracy, status.early_exit_held_out_accuracy
        ),
    )
    if status.cloud_step is not None:
        yield "cloud step", _count(status.cloud_step)
        yield (
            "final exit",
            _exit(
                status.final_exit_loss,
                status.final_exit_accuracy,
                status.final_exit_held_out_accuracy,
            ),
        )
    checkpoint_age = (
        None if status.checkpoint_uptime_s is None else uptime_s() - status.checkpoint_uptime_s
    )
    yield "checkpoint", _checkpoint(status.checkpoint_step, checkpoint_age)
    yield (
        "images",
        (
            f"{_count(status.waiting_samples)} wait, {_count(status.rehearsal_samples)} kept for "
            f"rehearsal, {status.bad_images} unreadable, {status.mislabelled_images} of no class"
        ),
    )
    if status.classes:
        yield "classes", _class_counts(status)
    yield "spool", _spool(status)
    yield "gave way", _gave_way(status)
    yield "link", _link(status)
    yield "predictions", _predictions(status)
    if status.endpoint:
        yield "endpoint", status.endpoint
    yield "machine", f"{_number(status.temperature_c, 'C', 0)}, {_size(status.memory_bytes)} held"


def _class_counts(status: Status) -> str:
    provisional = sum(one.is_provisional for one in status.classes)
    waiting = f", {provisional} provisional: without a slot of the cloud yet" if provisional else ""
    ignored = f" ({status.class_maps_ignored} ignored)" if status.class_maps_ignored else ""
    return f"{len(status.classes)}, class map {_count(status.class_map_version)}{ignored}{waiting}"


def _predictions(status: Status) -> str:
    text = f"{_count(status.predictions_total)}, {_count(status.predictions_by_cloud)} by the cloud"
    if status.right_share is None:
        return text
    return f"{text}; {status.corrections} corrected, {status.right_share:.0%} of them right before"


def _of_stopped(stored: StoredState) -> Iterator[Row]:
    yield "checkpoint", _checkpoint(stored.checkpoint_step, stored.checkpoint_age_s)
    spool = stored.spool
    if not spool:
        yield "spool", "none"
        return
    yield "spool", f"{_count(spool.get('held'))} messages, {_size(spool.get('held_bytes'))}"
    yield "messages made", _count(spool.get("spooled"))
    yield "dropped, refused", f"{_count(spool.get('dropped'))}, {_count(spool.get('refused'))}"


def _table(rows: Iterator[Row]) -> Table:
    table = Table("", "", show_header=False)
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _classes(classes: Sequence[ClassStatus]) -> Table:
    """Return a row per class; of many, those that the early exit knows least and the new ones."""
    table = Table("class", "slot", "early exit, held out", "seen", "kept", "held out")
    shown = sorted(classes, key=_urgency)[:_MOST_CLASSES]
    for one in sorted(shown, key=lambda one: one.slot):
        table.add_row(
            Text(f"{one.name} (provisional)" if one.is_provisional else one.name),
            f"{one.slot}",
            _percent(one.early_exit_accuracy),
            _count(one.seen),
            f"{one.kept}",
            f"{one.held_out}",
        )
    if len(classes) > len(shown):
        table.add_row(f"{len(classes) - len(shown)} more: --json has them")
    return table


def _urgency(one: ClassStatus) -> tuple[bool, float]:
    unmeasured = 2.0
    accuracy = one.early_exit_accuracy
    return not one.is_provisional, unmeasured if accuracy is None else accuracy


def _since(status: Status) -> str:
    age_s = status.writer.age_s
    if age_s is None:
        clock = datetime.fromtimestamp(status.writer.written).astimezone()
        return f"not running; last heard of {clock:%F %T}, by its clock"
    return f"not running since {_duration(age_s)} ago"


def _exit(loss: float | None, accuracy: float | None, held_out: float | None) -> str:
    return (
        f"loss {_number(loss, '', 3)}, accuracy {_percent(accuracy)}, held out {_percent(held_out)}"
    )


def _spool(status: Status) -> str:
    limit = f" of {_size(status.spool_max_bytes)}" if status.spool_max_bytes else ""
    held = f"{_count(status.spool_batches)} messages, {_size(status.spool_bytes)}{limit}"
    return f"{held}, {status.bits} bits" if status.bits else held


def _gave_way(status: Status) -> str:
    return (
        f"{status.dropped_total} dropped, {status.aged_total} too old, {status.thinned_total} "
        f"samples thinned out, {status.requantized_total} put to 4 bits, "
        f"{status.refused_total} refused by the cloud"
    )


def _link(status: Status) -> str:
    sent = f"{_size(status.wire_bytes)} in 24 hours"
    left = f", {_size(status.budget_left_bytes)} left" if status.budget_bytes else ""
    broker = f"{status.broker}; " if status.broker else ""
    return f"{broker}{_count(status.sent_total)} messages sent, {sent}{left}"


def _checkpoint(step: int | None, age_s: float | None) -> str:
    if step is None:
        return "none"
    age = "" if age_s is None else f", {_duration(age_s)} old"
    return f"step {step}{age}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _size(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f} MB"


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count}"


def _number(value: float | None, unit: str, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
