"""Runs `hiertk-edge` in a process that has PyTorch loaded, and prints what comes on top, in bytes.

python -m benchmarks.added_memory ARGUMENT ...: the last line of standard error holds the resident
memory before and its peak from then on. For a moment, importing PyTorch takes more than a small
network's training does later, which the peak of the whole process would hide.
"""

import gc
import sys
from pathlib import Path

import torch  # noqa: F401  # loaded before the count begins
from hiertk_edge import cli

_RESET_PEAK = "5"


def main(arguments: list[str]) -> None:
    """Run the command line; print memory before and at the peak."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    before = _status("VmRSS")
    sys.argv = ["hiertk-edge", *arguments]
    try:
        cli.main()
    finally:
        print(before, _status("VmHWM"), file=sys.stderr)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main(sys.argv[1:])
