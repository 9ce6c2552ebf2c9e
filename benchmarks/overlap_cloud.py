"""`hiertk-cloud` with a clock: prints a JSON line with the time of every optimizer step.

python -m benchmarks.overlap_cloud serve ...: the arguments of hiertk-cloud.
"""

import json
import time
from itertools import count

from hiertk_cloud.cli import main
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

_steps = count(1)


def tell_step(_optimizer: Optimizer, _arguments: object, _options: object) -> None:
    """Print the step's number and the time."""
    line = json.dumps({"event": "step", "number": next(_steps), "at": time.monotonic()})
    print(f"{line}\n", end="", flush=True)


if __name__ == "__main__":
    register_optimizer_step_post_hook(tell_step)
    main()
