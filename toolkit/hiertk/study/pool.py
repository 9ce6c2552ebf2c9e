"""The processes that run a study's cells, one thread each."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any

from hiertk_protocol.errors import ConfigError


@contextmanager
def cell_pool(
    jobs: int | None, prepare: Callable[..., None], *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes, each prepared once. jobs: None for one on each core.

    Raises ConfigError if one of them is killed.
    """
    count = jobs or len(os.sched_getaffinity(0))
    pool = ProcessPoolExecutor(
        max_workers=count,
        mp_context=get_context("spawn"),
        initializer=_prepare,
        initargs=(prepare, arguments),
    )
    try:
        _start(pool, count)
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


def _start(pool: ProcessPoolExecutor, count: int) -> None:
    """Start the processes deaf to Ctrl-C, which reaches all of a terminal: the first decides."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(count):
            pool.submit(os.getpid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _prepare(prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    bar = torch.hub.tqdm  # type: ignore[attr-defined]
    if hasattr(bar, "set_lock"):  # tqdm is installed, and torch's tracing makes a bar
        bar.set_lock(threading.RLock())  # its own, a semaphore, would outlive the process
    prepare(*arguments)
