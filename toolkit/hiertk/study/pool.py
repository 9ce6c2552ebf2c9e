"""The processes that run a study's cells, one thread each."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any, ParamSpec, TypeVar

from hiertk_protocol.errors import ConfigError

_P = ParamSpec("_P")
_T = TypeVar("_T")


@contextmanager
def cell_pool(
    jobs: int | None, prepare: Callable[..., None], *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes, each prepared once. jobs: None for one on each core.

    Raises ConfigError if one of them is killed.
    """
    pool = _Pool(
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


class _Pool(ProcessPoolExecutor):
    """Its processes are deaf to Ctrl-C, which reaches all of a terminal: the first decides."""

    def submit(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Submit a call, and start a process if none is idle: it takes over the mask."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(call, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _prepare(prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    bar = torch.hub.tqdm  # type: ignore[attr-defined]
    if hasattr(bar, "set_lock"):  # tqdm is installed, and torch's tracing makes a bar
        bar.set_lock(threading.RLock())  # its own, a semaphore, would outlive the process
    prepare(*arguments)
