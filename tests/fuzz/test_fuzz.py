"""A hundred thousand damaged inputs: only errors of the tree come out, in bounded time and memory.

FUZZ_SEED and FUZZ_INPUTS choose others: `FUZZ_SEED=7 FUZZ_INPUTS=5000000 pytest -s tests/fuzz`.
What is found lies in the printed folder; put it into corpus/ under the target's name before mending
it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fuzz.targets import make_targets

TESTS = Path(__file__).parents[1]
SEED = os.environ.get("FUZZ_SEED", "1")
INPUTS = int(os.environ.get("FUZZ_INPUTS", "100000"))
SECONDS_PER_INPUT = 1.0  # of the processor; the slowest seen takes 30 ms
TIMEOUT_S = 120 + INPUTS / 200

Reports = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def reports(folder: Path) -> Reports:
    """What came of each target; the process bounds its memory to 256 MiB above its start."""
    command = [sys.executable, "-m", "fuzz.fuzz_process", SEED, str(INPUTS), str(folder)]
    done = subprocess.run(
        command,
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), *sys.path))},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    print(f"FUZZ_SEED={SEED} FUZZ_INPUTS={INPUTS}: {folder}")
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-4000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {report["target"]: report for report in found}


def test_all_the_inputs_were_tried(reports: Reports, tmp_path: Path) -> None:
    assert reports.keys() == make_targets(tmp_path).keys()
    assert sum(report["inputs"] for report in reports.values()) >= INPUTS


def test_only_errors_of_the_tree_came_out(reports: Reports) -> None:
    findings = [one for report in reports.values() for one in report["findings"]]
    assert not findings, "\n".join(findings)


def test_no_input_took_long(reports: Reports) -> None:
    slow = {name: report["slowest_s"] for name, report in reports.items()}
    assert max(slow.values()) < SECONDS_PER_INPUT, slow


def test_some_inputs_were_taken_and_most_were_not(reports: Reports) -> None:
    """Else the mutations would be too weak, or so strong that only the first check sees them."""
    for name, report in reports.items():
        assert 0 < report["taken"] < report["inputs"], name
