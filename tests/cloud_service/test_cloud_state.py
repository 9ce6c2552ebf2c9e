"""The state folder: one service at a time."""

from pathlib import Path

import pytest
from hiertk_cloud.state import lock_state
from hiertk_protocol.errors import ConfigError, StorageError


def test_a_folder_in_use_is_refused_and_free_again_afterwards(tmp_path: Path) -> None:
    with lock_state(tmp_path / "state") as folder:
        assert folder.path.is_dir()
        with (
            pytest.raises(ConfigError, match="in use by another process"),
            lock_state(tmp_path / "state"),
        ):
            pass
    with lock_state(tmp_path / "state"):
        pass


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match="choose another --state"),
        lock_state(tmp_path / "file" / "state"),
    ):
        pass
