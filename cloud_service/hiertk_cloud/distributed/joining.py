"""A rank that has nothing to train on, as torch's Join sees it."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.algorithms.join import Joinable, JoinHook


class Shadow(Joinable):
    """Has Join call `take_part` in a rank that has joined, once for each step of the others."""

    def __init__(self, take_part: Callable[[], None]) -> None:
        super().__init__()
        self._take_part = take_part

    def join_hook(self, **_options: Any) -> JoinHook:
        return _TakePart(self._take_part)

    @property
    def join_device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def join_process_group(self) -> Any:
        return dist.group.WORLD


class _TakePart(JoinHook):
    def __init__(self, take_part: Callable[[], None]) -> None:
        self._take_part = take_part

    def main_hook(self) -> None:
        self._take_part()
