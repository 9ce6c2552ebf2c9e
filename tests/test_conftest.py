import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).with_name("conftest.py")


def run_a_skipping_session(folder: Path, no_skips: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_it.py").write_text(
        "import pytest\ndef test_passes(): pass\ndef test_skips(): pytest.skip('no such part')\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        env={**os.environ, "HIERTK_NO_SKIPS": no_skips},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_skip_is_no_failure_without_the_switch(tmp_path: Path) -> None:
    assert run_a_skipping_session(tmp_path, "").returncode == 0


def test_a_skip_is_a_failure_with_the_switch(tmp_path: Path) -> None:
    session = run_a_skipping_session(tmp_path, "1")
    assert session.returncode == 1
    assert "HIERTK_NO_SKIPS=1: 1 skipped" in session.stdout
