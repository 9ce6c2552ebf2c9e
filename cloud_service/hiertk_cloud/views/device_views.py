"""One device as its operator sees it: out of its status, the log, the trainer and ingest."""

import math

from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.texts import one_line

from hiertk_cloud.log import DeviceTotals
from hiertk_cloud.training.progress import DeviceProgress
from hiertk_cloud.views.view import DeviceState, DeviceView

_STATES: dict[int, DeviceState] = {
    DeviceStatus.OFFLINE: "offline",
    DeviceStatus.TRAINING: "training",
    DeviceStatus.DRAINING: "draining",
    DeviceStatus.FINISHED: "finished",
    DeviceStatus.WAITING: "waiting",
    DeviceStatus.PAUSED: "paused",
}
_MOST_PROBLEMS = 8
_PROBLEM_LETTERS = 200


def device_view(
    name: str,
    *,
    status: DeviceStatus | None,
    totals: DeviceTotals,
    progress: DeviceProgress,
    dropped: int,
    last_seen: float | None,
    is_suspect: bool,
) -> DeviceView:
    """Put together what is known of a device; status: None if it never sent one."""
    said = status or DeviceStatus(
        early_exit_loss=math.nan,
        early_exit_accuracy=math.nan,
        early_exit_held_out_accuracy=math.nan,
    )
    counting = progress.rounds.counting if progress.rounds else None
    early_exit_held_out = _known(said.early_exit_held_out_accuracy)
    if counting and early_exit_held_out is None:
        early_exit_held_out = counting.early_exit_correct / counting.samples
    return DeviceView(
        name=name,
        state=_STATES[said.state] if status else "unknown",
        last_seen=last_seen,
        edge_step=said.edge_step,
        early_exit_loss=_first(_known(said.early_exit_loss), progress.early_exit_loss),
        early_exit_accuracy=_known(said.early_exit_accuracy),
        early_exit_held_out_accuracy=early_exit_held_out,
        final_exit_loss=progress.final_exit_loss,
        final_exit_held_out_accuracy=(
            counting.final_exit_correct / counting.samples if counting else None
        ),
        waiting=totals.waiting,
        stored_total=totals.stored,
        stored_bytes=totals.stored_bytes,
        trained_total=progress.trained_total,
        stale_total=progress.stale_total,
        left_out_total=progress.left_out_total,
        skipped_total=progress.skipped_total,
        refused_total=totals.refused,
        duplicates_total=totals.duplicates,
        dropped_total=dropped,
        spool_batches=said.spool_batches,
        spool_bytes=said.spool_bytes,
        spool_dropped_total=said.dropped_total,
        sent_bytes=said.sent_bytes,
        is_suspect=is_suspect,
        class_map_version=said.class_map_version or None,
        problems=tuple(
            one_line(problem, _PROBLEM_LETTERS) for problem in said.problems[:_MOST_PROBLEMS]
        ),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
