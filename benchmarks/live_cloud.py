"""A real cloud service beside devices: on the second core, with what it says of its final exit."""

import math
from pathlib import Path

from hiertk.brokers import Broker
from hiertk.line_process import LineProcess
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.hiertk_pb2 import ModelStatus

from benchmarks.workplace import environment, python


def cloud_process(bundle: Bundle, broker: Broker, state: Path) -> LineProcess:
    """Return `hiertk-cloud serve`, to be entered."""
    command = python(
        "hiertk_cloud", "serve", "--bundle", str(bundle.folder),
        "--broker", broker.url, "--state", str(state), "--api", "", "--json",
    )  # fmt: skip
    return LineProcess(command, core=1, environment=environment())


def final_percent(model: ModelStatus) -> float:
    """Return the final exit's held-out accuracy in percent; 0 before it was measured."""
    share = model.final_exit_held_out_accuracy
    return 0.0 if math.isnan(share) else 100 * share
