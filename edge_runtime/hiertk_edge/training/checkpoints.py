"""A device's checkpoints: two generations, of which only a whole one is ever taken.

A generation is a folder with the learner's own file and a record that names its digest, so that
what a power cut or a failing card has damaged is seen before the engine reads it. Then the
generation before it is taken.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hiertk_protocol.class_map import FIRST_VERSION
from hiertk_protocol.errors import BundleError, StorageError
from hiertk_protocol.files import atomic_folder
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hiertk_edge.classes import ClassInSlot, KnowsClasses
from hiertk_edge.classes.exit_moves import move_rows
from hiertk_edge.learner import Learner
from hiertk_edge.prediction.calibration import NOT_CALIBRATED, Calibration

GENERATIONS = 2
_LEARNER = "learner"
RECORD = "checkpoint.json"
_DAMAGED = "damaged-"
_SINGLE = "checkpoint"  # what devices wrote before there were generations
_MAX_RECORD_BYTES = 4 << 20
_log = logging.getLogger(__name__)

OpenEngine = Callable[[Path | None], Learner]


class CheckpointRecord(BaseModel):
    """checkpoint.json: what the learner's file must be, and what belongs to it.

    classes: what the early exit's open slots stand for; None: the classes of the export.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    bundle_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    edge_step: int = Field(ge=0)
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    calibration: Calibration = NOT_CALIBRATED
    classes: dict[int, ClassInSlot] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A whole generation: the learner's file, and its record."""

    learner_file: Path
    record: CheckpointRecord


class Checkpoints:
    """The generations in a state folder's `checkpoints`, numbered as they were written."""

    def __init__(self, folder: Path, bundle_id: bytes, classes: KnowsClasses | None = None) -> None:
        """Look at nothing yet. classes: the device's; None: the learner's stay what they are."""
        self._folder = folder
        self._classes = classes
        self._bundle_id = bundle_id.hex()

    def open(self, open_engine: OpenEngine) -> tuple[Learner, Calibration]:
        """Open the newest whole generation; without any, the weights of the export.

        The early exit's rows then follow the device's classes. Puts damaged generations aside.
        Raises BundleError if a whole one is of another bundle, or does not fit the engine.
        """
        self._remove_halves()
        found = next(self._whole(self._put_aside), None)
        if found is not None:
            learner = open_engine(found.learner_file)
            self._follow(learner, found.record.classes)
            return learner, found.record.calibration
        if self._damaged():
            _log.warning("%s holds no whole checkpoint: training begins anew", self._folder)
        single = self._folder.with_name(_SINGLE)
        learner = open_engine(single if single.is_file() else None)
        self._follow(learner, None)
        return learner, NOT_CALIBRATED

    def newest(self) -> Checkpoint | None:
        """Return the newest whole generation, changing nothing. Raises BundleError."""
        return next(self._whole(lambda _path: None), None)

    def save(self, learner: Learner, calibration: Calibration) -> None:
        """Write a generation, and remove all but the newest. Raises StorageError."""
        number = 1 + max((int(path.name) for path in generations(self._folder)), default=0)
        with atomic_folder(self._folder / f"{number:09}") as temporary:
            learner.save(temporary / _LEARNER)
            size, digest = _digest(temporary / _LEARNER)
            record = CheckpointRecord(
                bundle_id=self._bundle_id,
                edge_step=learner.edge_step,
                size=size,
                sha256=digest,
                calibration=calibration,
                classes=self._known(learner),
            )
            (temporary / RECORD).write_text(record.model_dump_json())
        for path in generations(self._folder)[GENERATIONS:]:
            shutil.rmtree(path, ignore_errors=True)

    def _follow(self, learner: Learner, known: Mapping[int, ClassInSlot] | None) -> None:
        if self._classes is None:
            return
        if known is None:
            known = {slot: ClassInSlot("", FIRST_VERSION) for slot in learner.open_slots}
        self._classes.adopt(known.values())
        move_rows(learner, known, self._classes.table)

    def _known(self, learner: Learner) -> dict[int, ClassInSlot] | None:
        if self._classes is None:
            return None
        by_slot = self._classes.table.by_slot
        return {slot: by_slot[slot] for slot in sorted(learner.open_slots) if slot in by_slot}

    def _whole(self, on_damage: Callable[[Path], None]) -> Iterator[Checkpoint]:
        for path in generations(self._folder):
            checkpoint = self._read_whole(path)
            if checkpoint is None:
                on_damage(path)
            else:
                yield checkpoint

    def _read_whole(self, path: Path) -> Checkpoint | None:
        try:
            return self._read(path)
        except StorageError as error:
            _log.warning("%s: the checkpoint before it is taken", error)
            return None

    def _read(self, path: Path) -> Checkpoint:
        """Check a generation. Raises StorageError if it is damaged, BundleError if it is alien."""
        try:
            record = read_record(path)
            learner_file = path / _LEARNER
            if learner_file.stat().st_size != record.size:
                raise StorageError(f"{learner_file} is damaged: not of {record.size} bytes")
            if _digest(learner_file) != (record.size, record.sha256):
                raise StorageError(f"{learner_file} is damaged: its checksum is another")
        except (OSError, ValidationError) as error:
            raise StorageError(f"{path} is damaged: {_first_line(error)}") from error
        if record.bundle_id != self._bundle_id:
            raise BundleError(
                f"{path} is a checkpoint of bundle {record.bundle_id[:16]}, not of "
                f"{self._bundle_id[:16]}: take that bundle, or another state folder"
            )
        return Checkpoint(learner_file, record)

    def _put_aside(self, path: Path) -> None:
        """Keep the newest damaged one, for whoever wants to know what happened to it."""
        for old in self._damaged():
            shutil.rmtree(old, ignore_errors=True)
        path.rename(path.with_name(f"{_DAMAGED}{path.name}"))

    def _remove_halves(self) -> None:
        """Remove what a save left behind that was killed."""
        for path in self._folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def _damaged(self) -> list[Path]:
        return sorted(self._folder.glob(f"{_DAMAGED}*"))


def generations(folder: Path) -> list[Path]:
    """Return the generations in a folder, whole or not, the newest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    numbered = [path for path in found if path.name.isdecimal()]
    return sorted(numbered, key=lambda path: int(path.name), reverse=True)


def read_record(generation: Path) -> CheckpointRecord:
    """Read a generation's record; the learner's file is not looked at.

    Raises OSError or pydantic's ValidationError.
    """
    with (generation / RECORD).open("rb") as file:
        return CheckpointRecord.model_validate_json(file.read(_MAX_RECORD_BYTES))


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return file.tell(), digest.hexdigest()


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0]
