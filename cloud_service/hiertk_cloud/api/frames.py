"""What one second looks like: the frame that every watcher gets."""

import time
import zlib

from hiertk_cloud.api.history import History
from hiertk_cloud.api.rates import Counts, RateMeter
from hiertk_cloud.api.records import Frame, mean_known, shown_devices, status_of
from hiertk_cloud.training.confusion import Evaluation
from hiertk_cloud.views.class_state import ClassState
from hiertk_cloud.views.view import ServiceView


class FrameMaker:
    """Makes frames, and remembers what rates need."""

    def __init__(self, view: ServiceView, history: History) -> None:
        self._view = view
        self._history = history
        self._meter = RateMeter()

    def frame(self) -> Frame:
        """Return this moment's frame."""
        status = status_of(self._view.snapshot(), self._view.health())
        devices, count = shown_devices(self._view)
        rates = self._meter.note(
            Counts(
                time=time.monotonic(),
                stored_batches=status.stored_total,
                trained_batches=status.trained_total,
                stored_bytes=sum(one.stored_bytes for one in devices),
            )
        )
        return Frame(
            status=status,
            early_exit_loss=mean_known([one.early_exit_loss for one in devices]),
            early_exit_accuracy=mean_known([one.early_exit_accuracy for one in devices]),
            rates=rates,
            checkpoint=self._view.checkpoint(),
            device_count=count,
            devices=tuple(devices),
            history_row=self._history.newest_row,
            classes_version=_version_of(self._view.classes(), self._view.evaluation()),
        )

    def json(self) -> bytes:
        """Return it as JSON on one line."""
        return self.frame().model_dump_json().encode()


def _version_of(state: ClassState, evaluation: Evaluation | None) -> int:
    number = 0 if evaluation is None else evaluation.number
    devices = (len(state.confirmed), len(state.unconfirmed), state.waiting_slots)
    requests = (state.requests_answered, state.requests_refused)
    return zlib.crc32(repr((state.newest.version, number, *devices, *requests)).encode())
