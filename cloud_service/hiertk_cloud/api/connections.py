"""Connections of the API, bounded: uvicorn itself keeps any number, for any time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 64
_FIRST_REQUEST_S = 10.0


class BoundedProtocol(H11Protocol):
    """Closes a connection beyond MAX_CONNECTIONS, and one that doesn't say what it wants."""

    _watching: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._watching = self.loop.call_later(_FIRST_REQUEST_S, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._watching is not None:
            self._watching.cancel()  # else it would keep this connection in memory until then

    def _close_if_silent(self) -> None:
        request: Any = self.cycle
        if request is None and not self.transport.is_closing():
            self.transport.abort()
