"""One cell of the study of runtime: broker, link, cloud and device, as processes of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hiertk.line_process import LineProcess
from hiertk.slow_link import SlowLink, slow_link
from hiertk.study.records import read_record, write_record
from hiertk.study.runtime.marks import Evaluator, Moment
from hiertk.study.runtime.materials import Materials
from hiertk.study.runtime.meter import LinkMeter
from hiertk.study.runtime.processes import Processes
from hiertk.study.runtime.records import Cell, CellKey
from hiertk.study.runtime.settings import REPLAY, WAYS, RuntimeSettings
from hiertk.study.runtime.timeline import epoch_ends, steady_epoch_s

_DEVICE_CORE, _CLOUD_CORE = 0, 1
_PATIENCE_S = 7200.0  # a device says nothing between its start and its end

Line = dict[str, Any]


class CellRunner:
    """Runs the cells of one study, one after the other; finished ones stay in its folder."""

    def __init__(self, settings: RuntimeSettings, materials: Materials, folder: Path) -> None:
        self._settings = settings
        self._materials = materials
        self._folder = folder

    def run(self, key: CellKey) -> Cell:
        """Return a cell, from its file if it was finished before. Raises any HiertkError."""
        path = self._folder / f"{key.name}.json"
        found = read_record(path, Cell)
        if found is None:
            found = self._measure(key)
            write_record(path, found)
        return found

    def _measure(self, key: CellKey) -> Cell:
        place = self._folder / "running"
        shutil.rmtree(place, ignore_errors=True)
        with slow_link(place / "link", key.bits_per_s) as link:
            processes = Processes(key, self._settings, self._materials, link, place)
            if processes.snapshots is not None:
                processes.snapshots.mkdir()
            seen = _Seen()
            meter = _play(key, processes, link, seen)
        cell = self._cell(key, seen, meter, link.kind)
        if processes.snapshots is not None:
            evaluator = Evaluator(key, self._settings, self._materials, processes.snapshots)
            moments = [Moment.of(line) for line in seen.lines if line["event"] == "snapshot"]
            marks = evaluator.marks(moments, seen.device("started")["at"], meter)
            cell = cell.model_copy(update={"marks": marks})
        shutil.rmtree(place)
        return cell

    def _cell(self, key: CellKey, seen: "_Seen", meter: LinkMeter, kind: str) -> Cell:
        started, ended = seen.device("started"), seen.device("end")
        began, epochs, way = started["at"], self._settings.epochs, WAYS[key.way]
        steps_at = [line["at"] - began for line in seen.steps]
        # In split learning the device's last step comes after the cloud's.
        end = ended["at"] if way.is_split_learning else seen.steps[-1]["at"]
        up, down = meter.between(began, end)
        return Cell(
            key=key,
            total_s=end - began,
            steady_s=steady_epoch_s(steps_at, epochs) if way.is_steady else None,
            epoch_ends_s=() if key.way == REPLAY else epoch_ends(steps_at, epochs),
            up_bytes=round(up),
            down_bytes=round(down),
            edge_busy_s=ended["processor_s"] - started["processor_s"],
            cloud_busy_s=seen.steps[-1]["processor_s"] - seen.ready["processor_s"],
            edge_peak_bytes=ended["peak_bytes"],
            edge_libraries_bytes=seen.device("loaded")["peak_bytes"],
            link=kind,
        )


class _Seen:
    """The lines of both processes."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.ready: Line = {}

    def device(self, event: str) -> Line:
        """Return the device's line of an event: of both processes its lines come first."""
        return next(line for line in self.lines if line["event"] == event)

    @property
    def steps(self) -> list[Line]:
        """The cloud's steps."""
        return [line for line in self.lines if line["event"] == "step"]

    def until(self, is_wanted: Callable[[Line], bool]) -> Callable[[Line], bool]:
        """Return a condition that notes each line that it is asked about."""

        def note(line: Line) -> bool:
            self.lines.append(line)
            return is_wanted(line)

        return note


def _play(key: CellKey, processes: Processes, link: SlowLink, seen: _Seen) -> LinkMeter:
    """Run both processes until all is trained."""
    is_baseline = WAYS[key.way].payload is not None
    with LineProcess(processes.cloud(), core=_CLOUD_CORE, patience_s=_PATIENCE_S) as cloud:
        if not is_baseline:
            cloud.wait_for(event="up")
        seen.ready = cloud.wait_for(event="ready" if is_baseline else "trained")[1]
        with (
            LinkMeter(link) as meter,
            LineProcess(processes.device(), core=_DEVICE_CORE, patience_s=_PATIENCE_S) as device,
        ):
            device.wait_until(seen.until(lambda line: line["event"] == "end"))
            if is_baseline:
                cloud.wait_until(seen.until(lambda line: line["event"] == "end"))
            else:
                messages = seen.device("end")["messages"]
                cloud.wait_until(seen.until(_all_trained(messages, processes.passes)))
    return meter


def _all_trained(messages: int, passes: int) -> Callable[[Line], bool]:
    """Return the condition that the cloud has trained on each message so often."""

    def is_done(line: Line) -> bool:
        if line["event"] != "trained":
            return False
        trained, again = int(line["messages"]), int(line["replayed"])
        return trained >= messages and again >= messages * (passes - 1)

    return is_done
