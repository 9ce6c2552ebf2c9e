"""Damaged copies of valid files: JSON values, safetensors, SQLite tables, zips."""

import json
import sqlite3
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

from fuzz.mutations import Mutation, mutate_bytes

_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1 << 31,
    1 << 63,
    1 << 70,
    10**400,
    1e308,
    float("nan"),
    "",
    "x",
    "../../etc/passwd",
    "\x00",
    "a" * 5000,
    [],
    {},
    [[]],
    {"": {}},
)


def mutate_json(data: bytes, random: Random) -> bytes:
    """Put a value where another one belongs; the form stays that of our own JSON files."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    if not isinstance(content, dict | list) or random.random() < 0.25:
        return mutate_bytes(data, random)
    replace_somewhere(content, random)
    # A lone surrogate cannot be written: that is what "replace" is for.
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(errors="replace")


def replace_somewhere(content: Any, random: Random) -> None:
    """Change one value of a tree of lists and dictionaries, at any depth."""
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    if not keys:
        return
    key = random.choice(keys)
    if isinstance(content[key], dict | list) and random.random() < 0.8:
        replace_somewhere(content[key], random)
    elif random.random() < 0.2:
        del content[key]
    else:
        content[key] = random.choice(_VALUES)


def mutate_safetensors(data: bytes, random: Random) -> bytes:
    """Damage the header, its length or the values."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) or random.random() < 0.3:
        return mutate_bytes(data, random)
    header = mutate_json(data[8 : 8 + length], random)
    stated = len(header) if random.random() < 0.9 else random.choice((0, 1 << 40, (1 << 64) - 1))
    return stated.to_bytes(8, "little") + header + data[8 + length :]


def mutate_tables(statements: Sequence[str], scratch: Path) -> Mutation:
    """Return a mutation that runs some of the statements on a SQLite file, or damages its bytes."""

    def mutate(data: bytes, random: Random) -> bytes:
        if random.random() < 0.5:
            return mutate_bytes(data, random)
        for statement in random.sample(statements, random.randint(1, 2)):
            # The first statement may take away what the second one needs.
            with suppress(sqlite3.Error):
                data = run_statement(data, statement, scratch)
        return data

    return mutate


def run_statement(data: bytes, statement: str, scratch: Path) -> bytes:
    """Return a SQLite file after a statement."""
    scratch.write_bytes(data)
    with closing(sqlite3.connect(scratch, isolation_level=None)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(statement)
    return scratch.read_bytes()


def mutate_zip(data: bytes, random: Random) -> bytes:
    """Write the archive again with odd entries, or damage its bytes."""
    if random.random() < 0.4:
        return mutate_bytes(data, random)
    target = BytesIO()
    try:
        with zipfile.ZipFile(BytesIO(data)) as source, zipfile.ZipFile(target, "w") as archive:
            for entry in source.infolist():
                _copy_oddly(source, archive, entry, random)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return mutate_bytes(data, random)
    return target.getvalue()


def _copy_oddly(
    source: zipfile.ZipFile, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, random: Random
) -> None:
    content = source.read(entry)
    odd = zipfile.ZipInfo(entry.filename)
    odd.compress_type = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    kind = random.randrange(8)
    if kind == 0:
        odd.filename = random.choice(("../out", "/tmp/out", "a" * 300, "", "x/../y", "edge"))
    elif kind == 1:
        odd.external_attr = 0o120777 << 16  # a symbolic link
        content = b"/etc/passwd"
    elif kind == 2:
        content = bytes(1 << 20)
    elif kind == 3:
        odd.compress_type = random.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    elif kind == 4:
        content = mutate_json(content, random)
    elif kind == 5:
        return
    odd.filename = odd.filename or "-"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may come twice: that is the point
        archive.writestr(odd, content)
