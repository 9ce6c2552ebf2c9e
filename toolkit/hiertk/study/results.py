"""A file of results: studies of one kind, each of its network, data set and input size."""

from pathlib import Path
from typing import Generic, TypeVar

from hiertk.study.precision import Precision, in_the_cloud
from hiertk.study.records import Machine, Record, read_record, write_record


class StudySettings(Record):
    """What every such study was run on. input_size: pixels. precision: of steps in the cloud."""

    data: str
    model: str
    input_size: int
    classes: int
    images: int
    test_images: int
    batch_size: int
    precision: Precision


class Study(Record):
    """All findings of one study. command: the one that gives them again."""

    settings: StudySettings
    command: str
    date: str
    machine: Machine

    @property
    def name(self) -> str:
        """What it is a study of."""
        settings = self.settings
        size, cloud = settings.input_size, in_the_cloud(settings.precision)
        return f"{settings.model}, {settings.data}, {size}x{size}{cloud}"

    @property
    def has_picture(self) -> bool:
        """Whether a picture shows more than its tables."""
        return True


AnyStudy = TypeVar("AnyStudy", bound=Study)


class Results(Record, Generic[AnyStudy]):
    """Studies in the order of their names."""

    studies: tuple[AnyStudy, ...] = ()


def read_results(path: Path, kind: type[Results[AnyStudy]]) -> Results[AnyStudy]:
    """Return the studies in a file, none if it is not there. Raises ConfigError."""
    return read_record(path, kind) or kind()


def add_study(path: Path, kind: type[Results[AnyStudy]], study: AnyStudy) -> Results[AnyStudy]:
    """Put a study into a file, in the place of one of its name, and return all in it.

    The file is read anew: another study may have ended meanwhile. Raises ConfigError and
    StorageError.
    """
    others = [one for one in read_results(path, kind).studies if one.name != study.name]
    results = kind(studies=tuple(sorted((*others, study), key=lambda one: one.name)))
    write_record(path, results)
    return results
