"""Watching over the running service: lines of progress, systemd, devices that are suspect."""

import time
from collections.abc import Sequence

from hiertk_protocol.host.notify import Notifier
from hiertk_protocol.host.problems import Problems

from hiertk_cloud.report import Reporter
from hiertk_cloud.suspects import suspects
from hiertk_cloud.views.service_view import RunningView
from hiertk_cloud.worker import Worker

_LINE_EVERY_S = 5.0


class Supervisor:
    """Looks once a second."""

    def __init__(
        self,
        view: RunningView,
        workers: Sequence[Worker],
        notifier: Notifier,
        problems: Problems,
        reporter: Reporter,
    ) -> None:
        self._view = view
        self._workers = workers
        self._notifier = notifier
        self._problems = problems
        self._reporter = reporter
        self._told = view.snapshot()
        self._line_due = time.monotonic() + _LINE_EVERY_S
        self._suspects: frozenset[str] = frozenset()

    def look(self) -> None:
        """Feed the watchdog if the workers make progress; report what has changed."""
        limit_s = self._notifier.watchdog_s
        if limit_s and max(worker.turn_s for worker in self._workers) < limit_s / 2:
            self._notifier.watchdog()
        now = self._view.snapshot()
        if time.monotonic() < self._line_due or now == self._told:
            return
        self._line_due = time.monotonic() + _LINE_EVERY_S
        self._told = now
        self._reporter.say("progress", now.line(), **now.fields())
        self._notifier.status(now.line())
        self._report_suspects(suspects(now.progress.devices))

    def _report_suspects(self, found: frozenset[str]) -> None:
        for device in found - self._suspects:
            self._problems.begin(
                f"suspect {device}",
                f"{device}: its loss stays far above the other devices': are its labels right?",
            )
        for device in self._suspects - found:
            self._problems.end(f"suspect {device}", f"{device}: its loss is like the others' again")
        self._suspects = found
