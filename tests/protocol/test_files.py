import os
from pathlib import Path

import pytest
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.files import atomic_file, atomic_folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half_and_fail(path: Path, error: type[BaseException]) -> None:
    path.write_bytes(b"half")
    raise error


def test_a_file_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deeper" / "state"
    with atomic_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names_in(target.parent) == ["state"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_old_file_stays_when_the_block_fails(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "state"
    target.write_bytes(b"old")
    with pytest.raises(error), atomic_file(target) as temporary:
        write_half_and_fail(temporary, error)
    assert target.read_bytes() == b"old"
    assert names_in(tmp_path) == ["state"]


def test_a_block_that_writes_nothing_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"), atomic_file(tmp_path / "state"):
        pass


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No space left"), atomic_file(tmp_path / "state"):
        raise OSError(28, "No space left on device")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["file/below", "x" * 300])
def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"), atomic_file(tmp_path / name) as path:
        path.write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"), atomic_folder(tmp_path / name):
        pass


def test_a_folder_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deeper" / "bundle"
    with atomic_folder(target) as temporary:
        (temporary / "edge").mkdir()
        (temporary / "edge" / "file").write_bytes(b"new")
        assert not target.exists()
    assert (target / "edge" / "file").read_bytes() == b"new"
    assert names_in(target.parent) == ["bundle"]


def test_a_folder_is_replaced_only_if_asked(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_bytes(b"")
    with pytest.raises(ConfigError, match="--force"), atomic_folder(target):
        pass
    with atomic_folder(target, replace=True) as temporary:
        (temporary / "new").write_bytes(b"")
    assert names_in(target) == ["new"]
    assert names_in(tmp_path) == ["bundle"]


def test_a_file_or_a_link_can_be_replaced_by_a_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "file").write_bytes(b"")
    for name in ("link", "file"):
        with atomic_folder(tmp_path / name, replace=True) as temporary:
            (temporary / "new").write_bytes(b"")
        assert names_in(tmp_path / name) == ["new"]
    assert names_in(tmp_path) == ["elsewhere", "file", "link"]
    assert names_in(elsewhere) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_old_folder_stays_when_the_block_fails(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_bytes(b"")
    with pytest.raises(error), atomic_folder(target, replace=True) as temporary:
        write_half_and_fail(temporary / "half", error)
    assert names_in(target) == ["old"]
    assert names_in(tmp_path) == ["bundle"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_bytes(b"")
    rename = Path.rename

    def refuse_the_new_one(source: Path, destination: Path) -> Path:
        if source.suffix == ".tmp":
            raise OSError(5, "Input/output error")
        return rename(source, destination)

    monkeypatch.setattr(Path, "rename", refuse_the_new_one)
    with pytest.raises(StorageError), atomic_folder(target, replace=True):
        pass
    assert names_in(target) == ["old"]
    assert names_in(tmp_path) == ["bundle"]


def test_what_a_crash_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    left = tmp_path / f".bundle.{os.getpid()}.tmp"
    left.mkdir()
    (left / "half").write_bytes(b"")
    with atomic_folder(tmp_path / "bundle") as temporary:
        (temporary / "whole").write_bytes(b"")
    assert names_in(tmp_path / "bundle") == ["whole"]
