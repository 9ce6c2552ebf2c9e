"""The device goes on, whatever became of the file or the disk."""

import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.rehearsal.rehearsal_parts import (
    SMALL_BYTES,
    fresh_in,
    held_out_in,
    open_memory,
    sample,
    train_all,
)
from hiertk_edge.rehearsal.batches import Wanted
from hiertk_protocol.errors import StorageError


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a memory with samples of every kind."""
    path = tmp_path_factory.mktemp("filled") / "memory.sqlite"
    with open_memory(path, max_bytes=SMALL_BYTES, held_out_share=0.1) as memory:
        for number in range(120):
            memory.offer(sample(number, number % 3))
            if number == 110:
                train_all(memory)
    return path.read_bytes()


def change(path: Path, statement: str, *parameters: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert database.execute(statement, parameters).rowcount > 0


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda _: b"this is no database " * 500,
    "random bytes": lambda data: np.random.default_rng(0).bytes(len(data)),
    "truncated": lambda data: data[: len(data) // 2],
    "truncated within a page": lambda data: data[:-1000],
    "its first page overwritten": lambda data: data[:100] + bytes(3996) + data[4096:],
    "its middle overwritten": lambda data: data[:4096] + bytes(60_000) + data[64_096:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    path: Path, filled: bytes, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(DAMAGES[damage](filled))
    with open_memory(path) as memory:
        assert memory.counts == {}
        assert memory.offer(sample(1))
        assert fresh_in(memory.next_batch(Wanted(4))) == [1]
    assert names(path) == ["memory.sqlite", "memory.sqlite.damaged-1"]
    (record,) = caplog.records
    assert "the rehearsal memory is damaged" in record.message
    assert "memory.sqlite.damaged-1, and a new one begins" in record.message


def test_only_the_newest_damaged_file_is_kept(path: Path) -> None:
    for _ in range(3):
        path.write_bytes(b"this is no database " * 500)
        with open_memory(path):
            pass
    assert names(path) == ["memory.sqlite", "memory.sqlite.damaged-3"]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE cells",
        "DROP TABLE progress",
        "DELETE FROM progress",
        "UPDATE progress SET through = 'x'",
        "UPDATE progress SET batches = -1",
        "DELETE FROM owner",
        "UPDATE owner SET bundle_id = 7",
        "INSERT INTO classes VALUES (3, -5, 0)",
        "PRAGMA user_version = 7",
    ],
)
def test_tables_that_are_wrong_are_a_damage(path: Path, filled: bytes, statement: str) -> None:
    path.write_bytes(filled)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement)
    with open_memory(path) as memory:
        assert memory.counts == {}
    assert "memory.sqlite.damaged-1" in names(path)


@pytest.mark.parametrize(
    "seed", [*range(10), *(pytest.param(n, marks=pytest.mark.slow) for n in range(10, 80))]
)
def test_bytes_overwritten_anywhere_never_stop_the_device(
    path: Path, filled: bytes, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    data = bytearray(filled)
    for _ in range(int(generator.integers(1, 12))):
        start = int(generator.integers(len(data)))
        data[start : start + 40] = generator.bytes(len(data[start : start + 40]))
    path.write_bytes(data)
    with open_memory(path, max_bytes=SMALL_BYTES, held_out_share=0.1) as memory:
        for number in range(1000, 1030):
            with suppress(StorageError):  # may say once that a new one begins
                memory.offer(sample(number, number % 3))
            with suppress(StorageError):
                held_out_in(memory)
            with suppress(StorageError):
                train_all(memory)
        assert memory.offer(sample(2000, 1))
        held_out_in(memory)
        assert 2000 in train_all(memory) or 2000 in held_out_in(memory)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cells SET pixels = zeroblob(768) WHERE cell = ?",
        "UPDATE cells SET pixels = zeroblob(767) WHERE cell = ?",
        "UPDATE cells SET pixels = 'text' WHERE cell = ?",
        "UPDATE cells SET head = zeroblob(32) WHERE cell = ?",
        "UPDATE cells SET head = zeroblob(5) WHERE cell = ?",
        "DELETE FROM cells WHERE cell = ?",
    ],
)
def test_damaged_samples_are_dropped_and_the_others_go_on(path: Path, statement: str) -> None:
    with open_memory(path) as memory:
        for number in range(12):
            memory.offer(sample(number))
        batch = memory.next_batch(Wanted(4))
        assert batch is not None
        memory.trained(batch)
        change(path, statement, 2)  # in the reservoir
        change(path, statement, 6)  # waits
        assert train_all(memory) == [4, 5, 7, 8, 9, 10, 11]
        assert memory.damaged == 2
        assert memory.counts[0].reservoir == 10
        for number in range(12, 20):
            memory.offer(sample(number))
        assert train_all(memory) == list(range(12, 20))
        assert memory.damaged == 2
    with open_memory(path) as memory:
        assert memory.counts[0].reservoir == 18


def test_rows_that_are_damaged_at_the_start_are_dropped(path: Path) -> None:
    with open_memory(path, held_out_share=0.5) as memory:
        for number in range(40):
            memory.offer(sample(number, number % 3))
        held_out, waiting = len(held_out_in(memory)), memory.waiting
        change(path, "UPDATE cells SET pixels = zeroblob(9) WHERE cell = 0")
        change(path, "UPDATE cells SET head = zeroblob(9) WHERE cell = 1")
        change(path, "UPDATE cells SET pixels = zeroblob(768) WHERE cell < 12 AND cell > 1")
    with open_memory(path, held_out_share=0.5) as memory:
        assert memory.damaged == 2
        assert len(held_out_in(memory)) + len(train_all(memory)) == held_out + waiting - 12
        assert memory.damaged == 12


def test_forgetting_a_class_forgets_damaged_samples_and_files_too(path: Path) -> None:
    path.write_bytes(b"this is no database " * 500)
    with open_memory(path) as memory:
        for number in range(4):
            memory.offer(sample(number, number % 2))
        change(path, "UPDATE cells SET head = zeroblob(9) WHERE cell = 1")
    with open_memory(path) as memory:
        memory.forget(1)
        data = path.read_bytes()
        assert sample(2).pixels.tobytes() in data
        assert sample(1).pixels.tobytes() not in data
        assert sample(3).pixels.tobytes() not in data
        assert train_all(memory) == [0, 2]
    assert names(path) == ["memory.sqlite"]


def test_a_file_that_is_damaged_while_it_is_used_begins_anew(path: Path) -> None:
    with open_memory(path, max_bytes=SMALL_BYTES) as memory:
        for number in range(100):
            memory.offer(sample(number))
        batch = memory.next_batch(Wanted(8))
        assert batch is not None
        memory._file._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        path.write_bytes(b"overwritten " * 20_000)
        memory._file._database.execute("PRAGMA shrink_memory")  # what is cached would be right
        with pytest.raises(StorageError, match="the rehearsal memory begins anew"):
            memory.trained(batch)
        assert memory.waiting == 0
        assert memory.offer(sample(7))
        memory.trained(batch)
        assert train_all(memory) == [7], "a batch of the old memory takes nothing out"
    assert names(path) == ["memory.sqlite", "memory.sqlite.damaged-1"]


@contextmanager
def small_disk(folder: Path) -> Iterator[AbstractContextManager[None]]:
    """Yield what makes the folder's disk full for the length of a block.

    With root: a file system of its own. Without: a bound on what a file of this process may grow.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(folder)]
    if os.geteuid() == 0 and not subprocess.run(mount, check=False).returncode:
        try:
            yield _full(folder)
        finally:
            subprocess.run(["umount", folder], check=True)
    else:
        yield _bounded()


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def _bounded() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", ["own file system", "bounded files"])
def test_a_full_disk_is_told_and_all_stays_as_it_was(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "disk"
    own = kind == "own file system"
    if not own:
        place.mkdir()
    with small_disk(place) if own else nullcontext(_bounded()) as full:
        path = place / "memory.sqlite"
        with open_memory(path, max_bytes=SMALL_BYTES) as memory:
            for number in range(40):
                memory.offer(sample(number, number % 3))
            batch = memory.next_batch(Wanted(8))
            assert batch is not None
            before = memory.counts
            with full:
                stored = 0
                with pytest.raises(StorageError, match="free some space"):  # noqa: PT012
                    for number in range(100, 600):
                        stored += memory.offer(sample(number, 0))
                with pytest.raises(StorageError, match="free some space"):
                    memory.trained(batch)
                assert memory.waiting == 40 + stored
                assert memory.counts[1] == before[1]
                assert fresh_in(memory.next_batch(Wanted(8))) == list(range(8))
            memory.trained(batch)
            assert memory.offer(sample(900, 0))
            waiting = memory.waiting
            assert waiting == 40 + stored - 8 + 1
        with open_memory(path, max_bytes=SMALL_BYTES) as memory:
            assert len(train_all(memory)) == waiting
            assert memory.damaged == 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="make the state folder writable"),
        open_memory(tmp_path / "missing" / "memory.sqlite"),
    ):
        pass


def test_after_closing_an_offer_is_an_error_of_ours(path: Path) -> None:
    with open_memory(path) as memory:
        pass
    with pytest.raises(StorageError):
        memory.offer(sample(1))
