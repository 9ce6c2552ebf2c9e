"""A view that stands still: what the API makes of it can be told to the last digit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fastapi import APIRouter
from hiertk_cloud.api.history import History
from hiertk_cloud.api.server import ApiServer
from hiertk_cloud.log import LogTotals
from hiertk_cloud.training.confusion import ConfusionRounds, Evaluation
from hiertk_cloud.training.held_out import DeviceRounds, Round
from hiertk_cloud.training.progress import DeviceProgress, Progress
from hiertk_cloud.training.trainer import Measures
from hiertk_cloud.views.class_state import ClassState
from hiertk_cloud.views.status import Snapshot
from hiertk_cloud.views.view import (
    CheckpointView,
    DeploymentView,
    DeviceView,
    HealthView,
)
from hiertk_protocol.class_map import ClassAlias, ClassMap, ClassSlot
from hiertk_protocol.messages import SlotArray

DEPLOYMENT = DeploymentView(
    deployment="greenhouse",
    bundle_id="ab" * 32,
    model="resnet18",
    split=2,
    split_count=8,
    feature_shape=(64, 16, 16),
    bits=4,
    classes=("cat", "dog", "owl"),
    class_slots=8,
)

PI_1 = DeviceView(
    name="pi-1",
    state="training",
    last_seen=1_700_000_000.0,
    edge_step=70,
    early_exit_loss=0.5,
    early_exit_accuracy=0.75,
    early_exit_held_out_accuracy=0.7,
    final_exit_loss=0.4,
    final_exit_held_out_accuracy=0.8,
    waiting=3,
    stored_total=60,
    stored_bytes=3_000_000,
    trained_total=50,
    stale_total=4,
    skipped_total=1,
    refused_total=2,
    duplicates_total=5,
    dropped_total=6,
    spool_batches=7,
    spool_bytes=350_000,
    spool_dropped_total=8,
    sent_bytes=3_500_000,
    class_map_version=3,
)
PI_2 = DeviceView(name="pi-2", state="offline", early_exit_loss=2.5, is_suspect=True)

CHECKPOINT = CheckpointView(cloud_step=40, consumed=55, size=1_000_000, written=1_700_000_010.0)
# Slot 2 is free: a kite was there, and was found to be an owl.
CLASSES = ClassMap(
    3,
    (
        ClassSlot(0, "cat"),
        ClassSlot(1, "dog"),
        ClassSlot(4, "owl", since=2, aliases=(ClassAlias("kite", 2, 1),)),
    ),
)
CLASS_STATE = ClassState(
    CLASSES,
    confirmed={"pi-1": 3, "pi-2": 1},
    trained={0: 900, 1: 800, 4: 20},
    requests_answered=2,
    requests_refused=1,
    waiting_slots=1,
)


def evaluation_of(
    final_exit: Sequence[tuple[int, int, int]],
    early_exit: Sequence[tuple[int, int, int]],
    *,
    classes: ClassMap = CLASSES,
) -> Evaluation:
    """Return the evaluation of (label, prediction, samples) by slot, of the same samples."""
    rounds = ConfusionRounds()
    labels, final = _slots(final_exit)
    _, early = _slots(early_exit)
    rounds.add("pi-1", 1, labels, final, early_exit=early, classes=classes)
    found = rounds.evaluation(classes)
    assert found is not None
    return found


def _slots(cells: Sequence[tuple[int, int, int]]) -> tuple[SlotArray, SlotArray]:
    labels = [label for label, _, samples in cells for _ in range(samples)]
    predictions = [predicted for _, predicted, samples in cells for _ in range(samples)]
    return np.array(labels, np.int64), np.array(predictions, np.int64)


EVALUATION = evaluation_of(
    final_exit=[(0, 0, 8), (0, 1, 2), (1, 0, 1), (1, 1, 9)],
    early_exit=[(0, 0, 7), (0, 1, 3), (1, 1, 7), (1, 4, 3)],
)


def snapshot_at(cloud_step: int = 50, *, loss: float = 0.4) -> Snapshot:
    rounds = DeviceRounds(
        newest=Round(edge_step=60, samples=20, final_exit_correct=17, early_exit_correct=14)
    )
    return Snapshot(
        progress=Progress(
            turn=57,
            cloud_step=cloud_step,
            trained_total=50,
            skipped_total=1,
            stale_total=4,
            devices={"pi-1": DeviceProgress(rounds=rounds)},
        ),
        measures=Measures(loss=loss, accuracy=0.875, step_ms=12.5),
        totals=LogTotals(stored=60, refused=2, duplicates=5),
        dropped_total=6,
        acks_total=30,
        ack_wait_ms=21.5,
    )


@dataclass
class StillView:
    """Says what it is given; counts how often it was asked for a snapshot."""

    now: Snapshot = field(default_factory=snapshot_at)
    all_devices: list[DeviceView] = field(default_factory=lambda: [PI_1, PI_2])
    measured: Evaluation | None = EVALUATION
    class_state: ClassState = CLASS_STATE
    saved: CheckpointView | None = CHECKPOINT
    is_connected: bool = True
    is_paused: bool = False
    problems: tuple[str, ...] = ()
    asked: int = 0

    def deployment(self) -> DeploymentView:
        return DEPLOYMENT

    def snapshot(self) -> Snapshot:
        self.asked += 1
        return self.now

    def devices(self) -> list[DeviceView]:
        return self.all_devices

    def classes(self) -> ClassState:
        return self.class_state

    def evaluation(self) -> Evaluation | None:
        return self.measured

    def checkpoint(self) -> CheckpointView | None:
        return self.saved

    def health(self) -> HealthView:
        return HealthView(
            is_ready=self.is_connected,
            is_connected=self.is_connected,
            is_paused=self.is_paused,
            problems=self.problems,
        )

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False


@contextmanager
def serving(
    view: StillView,
    folder: Path,
    *,
    token: str | None = None,
    listen: str = "127.0.0.1:0",
    routers: Sequence[APIRouter] = (),
) -> Iterator[ApiServer]:
    history = History(folder / "curves.sqlite")
    server = ApiServer(view, listen, token, history, routers=routers)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        history.close()
