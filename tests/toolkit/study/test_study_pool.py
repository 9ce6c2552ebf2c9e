"""The processes of a study: an interruption ends them at once, and says what stays."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import sys, time
import torch
from hiertk.models.trace import trace
from hiertk.study.pool import cell_pool
from hiertk_protocol import console

def main():
    console.terminate_like_interrupt()
    with cell_pool(2, trace, torch.nn.Flatten(), 8) as pool:
        for warm in [pool.submit(time.sleep, 1) for _ in range(2)]:
            warm.result()
        cells = [pool.submit(time.sleep, 600) for _ in range(int(sys.argv[1]))]
        print("ready", flush=True)
        cells[0].result()

console.run(main)
"""


@pytest.mark.parametrize("cells", [1, 6], ids=["one idle", "more wait"])
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_study_ends_its_processes_and_says_that_it_can_go_on(
    signal_: signal.Signals, cells: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(cells)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal_)  # Ctrl-C reaches every process of the terminal
        _, errors = process.communicate(timeout=60)  # until the last of them has closed it
    assert process.returncode == 130
    assert errors == "What is finished stays: the same command goes on\nInterrupted.\n"
