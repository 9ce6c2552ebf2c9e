"""What a process of the study says: JSON lines, each with the time and the processor time taken."""

import json
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiertk_edge.peak_memory import peak_memory_bytes
from hiertk_protocol.files import atomic_file
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn


def tell(event: str, **fields: object) -> None:
    """Print a line. at: of the clock that all processes of the machine share, seconds."""
    line = {"event": event, "at": time.monotonic(), "processor_s": time.process_time()} | fields
    print(f"{json.dumps(line)}\n", end="", flush=True)


def tell_loaded() -> None:
    """Say that all libraries are loaded and nothing else is, with the memory that takes."""
    tell("loaded", peak_bytes=peak_memory_bytes())


def tell_end(**fields: object) -> None:
    """Print the last line, with the process's peak memory."""
    tell("end", peak_bytes=peak_memory_bytes(), **fields)


def tell_each_step() -> None:
    """Print a line after every step of any optimizer of PyTorch in this process."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    numbers = count(1)
    register_optimizer_step_post_hook(lambda *_: tell("step", number=next(numbers)))


class Snapshots:
    """Weights on the way, for an accuracy that is measured afterwards.

    folder: None for none. every: steps from one to the next.
    """

    def __init__(self, folder: Path | None, side: str, every: int) -> None:
        self._folder = folder
        self._side = side
        self._every = every
        self._taken = 0

    def is_due(self, steps: int) -> bool:
        """Return whether so many steps have passed since the newest one."""
        return self._folder is not None and steps // self._every > self._taken

    def take(self, steps: int, weights: "Mapping[str, NDArray[Any]]") -> None:
        """Write the weights after so many steps, and tell when. Raises StorageError."""
        assert self._folder is not None
        self._taken = steps // self._every
        began = time.monotonic()
        path = self._folder / f"{self._side}-{steps:08d}.safetensors"
        with atomic_file(path) as temporary:
            save_file(dict(weights), temporary)
        tell("snapshot", file=path.name, side=self._side, steps=steps, taken=began)


def weights_of(module: "nn.Module") -> "dict[str, NDArray[Any]]":
    """Return copies of a module's parameters and buffers."""
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}
