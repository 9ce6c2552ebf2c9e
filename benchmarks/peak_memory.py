"""Runs a command and prints the operating system's account of its peak memory, in bytes.

python -m benchmarks.peak_memory COMMAND ...: a process of its own and small, because Linux counts
the memory of the process that starts another as the other's, until that one runs its program.
"""

import os
import sys


def main(command: list[str]) -> int:
    """Run the command; return its exit code."""
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    print(usage.ru_maxrss * 1024, file=sys.stderr)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
