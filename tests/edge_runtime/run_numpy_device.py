"""A device of its own process, to be killed: a line per step, and "settled" when all is done.

Arguments: bundle, broker, data, state, and maybe a stream and the steps between checkpoints.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from edge_configs import edge_config
from hiertk_edge.device import run_device
from hiertk_edge.watch import Watch
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from numpy_learner import open_numpy_learner

bundle, broker, data, state, *more = sys.argv[1:]
_settled = [False]


def show(status: DeviceStatus) -> None:
    print(status.edge_step, flush=True)
    is_settled = status.state == DeviceStatus.WAITING and not status.waiting_samples
    if is_settled and _settled[0]:  # twice: the watched folder has been looked at meanwhile
        print("settled", flush=True)
    _settled[0] = is_settled


run_device(
    edge_config(
        Path(bundle),
        Path(state),
        broker={"url": broker},
        data=data,
        streams=tuple(more[:1]),
        checkpoint={"every_steps": int(more[1]), "every_s": 0} if more else {},
        rehearsal={"wait_s": 0.2},
    ),
    Watch(show=show),
    open_engine=open_numpy_learner,
)
