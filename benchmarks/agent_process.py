"""`hiertk-edge` as it is, but a JSON line for every status, with the time since its process began.

python -m benchmarks.agent_process run --bundle ...
"""

import json
import os
import sys
import time
from pathlib import Path


def _seconds_of_this_process() -> float:
    """Return how long ago this process was started."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


_BEGAN = time.monotonic() - _seconds_of_this_process()


def main(arguments: list[str]) -> None:
    """Run the command line with another reporter."""
    from hiertk_edge.cli import app
    from hiertk_edge.status import report
    from hiertk_protocol.hiertk_pb2 import DeviceStatus

    def show(_reporter: report.Reporter, status: DeviceStatus) -> None:
        line = {
            "at": time.monotonic() - _BEGAN,
            "state": DeviceStatus.State.Name(status.state),
            "edge_step": status.edge_step,
            "step_ms": status.step_ms,
            "waiting": status.waiting_samples,
            "kept": status.rehearsal_samples,
            "by_cloud": status.predictions_by_cloud,
            "spool": status.spool_batches,
        }
        print(json.dumps(line), flush=True)

    report.Reporter.show = show  # type: ignore[assignment,method-assign]
    app(arguments, standalone_mode=True)


if __name__ == "__main__":
    main(sys.argv[1:])
