"""A device of its own process, to be killed: bundle, broker, data, state; a line per step."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from edge_parts import DEVICE
from hiertk_edge.agent import Watch
from hiertk_edge.device import DeviceSettings, run_device
from numpy_learner import open_numpy_learner

bundle, broker, data, state = sys.argv[1:]
run_device(
    DeviceSettings(bundle=Path(bundle), broker=broker, device=DEVICE, data=data, state=Path(state)),
    Watch(show=lambda status: print(status.edge_step, flush=True)),
    open_engine=open_numpy_learner,
)
