"""The processes that run a study's cells, one thread each."""

import os
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
    except BaseException:
        for process in active_children():  # a cell would go on for minutes
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    prepare(*arguments)
