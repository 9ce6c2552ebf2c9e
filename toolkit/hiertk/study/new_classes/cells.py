"""One cell of the study: a method at a separation point, with a seed, from the base to the end.

All methods but joint training begin with the same base, which is trained once and kept.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.bundle import Bundle, open_bundle
from hiertk_protocol.files import atomic_folder
from hiertk_protocol.manifest import Backend

from hiertk.data import load
from hiertk.export import ExportSettings, export_bundle
from hiertk.export.optimizer import OptimizerFlags
from hiertk.study.images import Images, read_images
from hiertk.study.new_classes.cloud import CHECKPOINT, LOG, StudyCloud
from hiertk.study.new_classes.course import Teacher
from hiertk.study.new_classes.device import StudyDevice
from hiertk.study.new_classes.learning import BothSides, LdaOnBase, Learning
from hiertk.study.new_classes.methods import BATCH, JOINT, METHODS, OURS, SLDA, Method
from hiertk.study.new_classes.plan import Course, plan_course
from hiertk.study.new_classes.records import Cell, CellKey, Phase
from hiertk.study.new_classes.settings import StudySettings
from hiertk.study.records import read_record, write_record

UNFINISHED = "cell-"  # folders of cells that are under way
_BASE_NAME = "base"
_BUNDLE, _EDGE_CHECKPOINT = "bundle", "edge.checkpoint"
_BASE_EPOCH, _EPOCH = 1, 2


@dataclass(frozen=True)
class StudyData:
    """The images of a study, with the data set's labels, and its classes' names."""

    train: Images
    test: Images
    names: tuple[str, ...]


def read_data(settings: StudySettings) -> StudyData:
    """Read the images. Raises ConfigError."""
    train = load(settings.data, "train")
    size = settings.input_size
    wanted = 4 * max(settings.size.base_images, settings.size.new_images)
    return StudyData(
        train=read_images(train, size, wanted),
        test=read_images(load(settings.data, "test"), size, settings.size.test_images),
        names=train.classes,
    )


class CellRunner:
    """Runs the cells of one study in a folder, where bases and finished cells stay."""

    def __init__(self, settings: StudySettings, data: StudyData, folder: Path) -> None:
        self._settings = settings
        self._data = data
        self._folder = folder

    def run(self, key: CellKey) -> Cell:
        """Return a cell, from its file if it was finished before."""
        path = self._folder / f"{key.name}.json"
        found = read_record(path, Cell)
        if found is None:
            found = self._joint(key) if key.method == JOINT.name else self._from_base(key)
            write_record(path, found)
        return found

    def prepare_base(self, split: int, seed: int, backend: Backend) -> Path:
        """Return the folder of a base, trained now unless it was before."""
        key = CellKey(method=_BASE_NAME, split=split, seed=seed, backend=backend)
        folder = self._folder / key.name
        if folder.exists():
            return folder
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as temporary, ExitStack() as opened:
            started = time.perf_counter()
            part = _Part(self._settings, self._data, key)
            bundle = part.export(temporary / _BUNDLE, self._settings.size.base_classes)
            cloud = opened.enter_context(part.cloud(bundle, OURS, temporary))
            device = part.device(bundle, OURS, epoch=_BASE_EPOCH)
            teacher = part.teacher(BothSides(device, cloud, self._settings.bits), OURS)
            teacher.teach_base()
            phase = teacher.measure(self._settings.size.base_classes)
            device.save(temporary / _EDGE_CHECKPOINT)
            cloud.save()
            cell = part.cell([phase], BothSides(device, cloud, self._settings.bits), started)
            write_record(temporary / "cell.json", cell)
        return folder

    def _joint(self, key: CellKey) -> Cell:
        started = time.perf_counter()
        part = _Part(self._settings, self._data, key)
        with _temporary(self._folder) as folder:
            bundle = part.export(folder / _BUNDLE, len(self._data.names))
            with part.cloud(bundle, JOINT, folder) as cloud:
                device = part.device(bundle, JOINT, epoch=_BASE_EPOCH)
                both = BothSides(device, cloud, self._settings.bits)
                return part.cell([part.teacher(both, JOINT).teach_all_at_once()], both, started)

    def _from_base(self, key: CellKey) -> Cell:
        base = self.prepare_base(key.split, key.seed, key.backend)
        known = read_record(base / "cell.json", Cell)
        assert known is not None, base
        started = time.perf_counter()
        part = _Part(self._settings, self._data, key)
        bundle = open_bundle(base / _BUNDLE)
        method = METHODS.get(key.method, OURS)
        with _temporary(self._folder) as folder:
            for name in (LOG, CHECKPOINT):
                shutil.copy(base / name, folder)
            with part.cloud(bundle, method, folder) as cloud:
                device = part.device(
                    bundle, method, epoch=_EPOCH, checkpoint=base / _EDGE_CHECKPOINT
                )
                device.keep(part.course.base)
                if key.method == SLDA:
                    return self._lda(part, device, cloud, started)
                both = BothSides(device, cloud, self._settings.bits)
                phases = [known.last, *part.teacher(both, method).teach_new_classes()]
                return part.cell(phases, both, started)

    def _lda(self, part: "_Part", device: StudyDevice, cloud: StudyCloud, started: float) -> Cell:
        classes = len(self._data.names)
        learning = LdaOnBase(device, cloud, self._settings.bits, part.train, classes)
        teacher = part.teacher(learning, OURS)
        teacher.teach_base()
        base = teacher.measure(self._settings.size.base_classes)
        return part.cell([base, *teacher.teach_new_classes()], learning, started)


class _Part:
    """What one separation point, seed and backend make of the study."""

    def __init__(self, settings: StudySettings, data: StudyData, key: CellKey) -> None:
        self._settings = settings
        self._key = key
        self.course: Course = plan_course(data.train, settings.size, key.seed)
        self.train = self.course.in_slots(data.train)
        self._test = self.course.in_slots(data.test)
        self._names = tuple(data.names[label] for label in self.course.order)

    def export(self, folder: Path, classes: int) -> Bundle:
        """Export a bundle of the first so many classes, with the seed's fresh weights."""
        settings = self._settings
        export = ExportSettings(
            model=settings.model,
            split=self._key.split,
            target="linux",
            backend=self._key.backend,
            optimizer=OptimizerFlags(name="adamw"),
            classes=self._names[:classes],
            class_capacity=len(self._names),
            input_size=settings.input_size,
            batch_size=BATCH,
            bits=settings.bits,
            out=folder,
            seed=self._key.seed,
        )
        return export_bundle(export).bundle

    def device(
        self, bundle: Bundle, method: Method, *, epoch: int, checkpoint: Path | None = None
    ) -> StudyDevice:
        """Open the device."""
        return StudyDevice(
            bundle,
            method,
            self.train,
            memory_bytes=self._settings.size.memory_bytes,
            seed=self._key.seed,
            epoch=epoch,
            checkpoint=checkpoint,
        )

    def cloud(self, bundle: Bundle, method: Method, folder: Path) -> StudyCloud:
        """Return the cloud, to be entered."""
        rate = self._settings.learning_rate
        return StudyCloud(bundle, method, folder, learning_rate=rate, seed=self._key.seed)

    def teacher(self, learning: Learning, method: Method) -> Teacher:
        """Return who teaches the seed's course."""
        return Teacher(learning, self.course, self._names, self._test, method.of_one_class)

    def cell(self, phases: list[Phase], learning: Learning, started: float) -> Cell:
        """Return the findings."""
        return Cell(
            key=self._key,
            base_classes=self._settings.size.base_classes,
            phases=tuple(phases),
            device_bytes=learning.device_bytes,
            cloud_bytes=learning.cloud_bytes,
            edge_steps=learning.edge_steps,
            seconds=time.perf_counter() - started,
        )


@contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    """Yield a folder for the time of a cell, on the study's disk."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=UNFINISHED) as name:
        yield Path(name)
