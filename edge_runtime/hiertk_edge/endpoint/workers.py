"""The threads that work for requests, so that the event loop never waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

_THREADS = 4  # predictions may each wait for the cloud; decoding takes turns anyway
Result = TypeVar("Result")


class Workers:
    """A few threads; what is asked of them beyond that waits."""

    def __init__(self) -> None:
        """Begin without a thread: each starts when it is needed."""
        self._pool = ThreadPoolExecutor(_THREADS, "endpoint")

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Return what a function returns, called in one of the threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *arguments))

    def close(self) -> None:
        """Let what is under way end by itself, and drop what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)
