"""Listing `csv:PATH`: a table with the columns path and label, one image a row.

Paths are relative to the table's folder and stay in it: absolute ones and `..` are refused, so that
a table from elsewhere reaches nothing else on the device. A link that lies in the folder is
followed: whoever put it there could have put the images there.
"""

import csv
import logging
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np
from hiertk_protocol.errors import ConfigError

from hiertk_edge.sources.listing import LabelNumbers, Listing, refuse_too_many, some
from hiertk_edge.sources.record import FixedLabels, Labels
from hiertk_edge.sources.skipped import Skipped

MAX_FIELD = 4096
_MAX_LINE = 2 * MAX_FIELD + 16
_COLUMNS = "its first row must name the columns path and label, separated by a comma"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Columns:
    path: int
    label: int


class _WrongRowError(ValueError):
    """What is wrong with one row."""


def list_csv(path: Path, class_names: Sequence[str], labels: Labels | None = None) -> Listing:
    """List the images. Wrong rows are reported with their number, counted and skipped.

    class_names: the bundle's. labels: which names are classes; None: these. Raises ConfigError for
    a file that is no such table, or without rows that are right.
    """
    labels = labels or FixedLabels(class_names)
    numbers = LabelNumbers(class_names, labels)
    names: list[str] = []
    found: list[int] = []
    wrong = Skipped("rows", _log)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path}: not a file: name a CSV file")
        # What is not UTF-8 becomes surrogates, which are found row by row.
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = enumerate(_lines(file), 1)
            columns = _read_header(path, next(lines, (1, ""))[1])
            for number, line in lines:
                if not line.strip():
                    continue
                try:
                    name, label = _read_row(line, columns)
                    found.append(_number_of(label, numbers, labels))
                    names.append(name)
                except _WrongRowError as error:
                    wrong.note(f"{path}: row {number}: {error}")
                refuse_too_many(path, len(names))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a CSV file") from error
    if len(names) < 2:
        raise ConfigError(
            f"{path}: {len(names)} images, {wrong.count} wrong rows: {_COLUMNS}; give at least 2 "
            f"images of the classes {some(labels.names)}"
        )
    return Listing(path.parent, tuple(names), np.array(found, np.uint16), numbers.classes)


def _lines(file: TextIO) -> Iterator[str]:
    """Yield the lines, the overlong ones cut: without a line's end a file is no longer one line."""
    while line := file.readline(_MAX_LINE):
        yield line
        while not line.endswith("\n") and (line := file.readline(_MAX_LINE)):
            pass  # the rest of an overlong line


def _read_header(path: Path, line: str) -> _Columns:
    try:
        header = [field.strip() for field in _split(line)]
        return _Columns(header.index("path"), header.index("label"))
    except ValueError as error:
        raise ConfigError(f"{path}: row 1: {_COLUMNS}") from error


def _read_row(line: str, columns: _Columns) -> tuple[str, str]:
    fields = _split(line)
    if len(fields) <= max(columns.path, columns.label):
        raise _WrongRowError(f"{len(fields)} columns: give a path and a label")
    name, label = fields[columns.path].strip(), fields[columns.label].strip()
    if not name or "\0" in name:
        raise _WrongRowError("no path")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise _WrongRowError(f"{name!r:.100} leaves the table's folder: give a path inside of it")
    return name, label


def _split(line: str) -> list[str]:
    if len(line) >= _MAX_LINE:
        raise _WrongRowError(f"longer than {_MAX_LINE} characters")
    try:
        line.encode()
    except UnicodeEncodeError:
        raise _WrongRowError("not UTF-8: save the table as UTF-8") from None
    try:
        # One line at a time, so that a quote that is never closed spoils its own row only.
        fields = next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise _WrongRowError(f"{error}") from error
    if any(len(field) > MAX_FIELD for field in fields):
        raise _WrongRowError(f"a field of more than {MAX_FIELD} characters")
    return fields


def _number_of(label: str, numbers: LabelNumbers, labels: Labels) -> int:
    number = numbers.number_of(label)
    if number is None:
        raise _WrongRowError(f"{label!r:.100} is no class: there are {some(labels.names)}")
    return number
