import subprocess
import sys
from pathlib import Path

import pytest
from hiertk_edge.state import lock_state
from hiertk_protocol.errors import ConfigError, StorageError

HOLD = """
import sys, pathlib
from hiertk_edge.state import lock_state
with lock_state(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_state_folder_serves_one_process_and_is_free_when_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="in use by another"), lock_state(tmp_path):
            pass
        holder.kill()
        holder.communicate()
    with lock_state(tmp_path) as state:
        assert state.path == tmp_path


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with (
        pytest.raises(StorageError, match="choose another --state"),
        lock_state(tmp_path / "state"),
    ):
        pass
