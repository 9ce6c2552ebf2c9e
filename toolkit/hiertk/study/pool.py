"""The processes that run a study's cells, one thread each."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from types import FrameType
from typing import Any

from hiertk_protocol.errors import ConfigError


@contextmanager
def cell_pool(
    jobs: int | None, prepare: Callable[..., None], *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes, each prepared once. jobs: None for one on each core.

    Raises ConfigError if one of them is killed.
    """
    pool = ProcessPoolExecutor(
        max_workers=jobs or len(os.sched_getaffinity(0)),
        mp_context=get_context("spawn"),
        initializer=_prepare,
        initargs=(prepare, arguments),
    )
    try:
        yield pool
    except BrokenExecutor as error:
        raise ConfigError(
            "a process of the study was killed, most likely for want of memory: run the same "
            "command with fewer --jobs, what is finished stays"
        ) from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            print("What is finished stays: the same command goes on", file=sys.stderr)
        for process in active_children():  # a cell would go on for minutes
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first decides
    signal.signal(signal.SIGTERM, _leave)
    torch.set_num_threads(1)
    prepare(*arguments)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Unwind, so that nothing of the process is left behind."""
    sys.exit()
