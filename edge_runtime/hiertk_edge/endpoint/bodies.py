"""Reading the bodies of requests: bounded in bytes, each and all together, and in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from hiertk_edge.endpoint.record import RefusedError

MAX_IMAGE_BYTES = 4 << 20
MAX_JSON_BYTES = 4096
MAX_HELD_BYTES = 6 << 20
BODY_S = 10.0
_RETRY_S = 1


class Bodies:
    """What the requests of the moment have sent; for one event loop."""

    def __init__(self) -> None:
        """Begin with nothing held."""
        self._held = 0

    @asynccontextmanager
    async def whole(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """Yield a request's body, and hold its bytes during the block. Raises RefusedError."""
        pieces: list[bytes] = []
        try:
            try:
                await asyncio.wait_for(self._receive(request, limit, pieces), BODY_S)
            except asyncio.TimeoutError as error:
                raise RefusedError(408, f"the body did not come within {BODY_S:.0f} s") from error
            yield b"".join(pieces)
        finally:
            self._held -= sum(map(len, pieces))

    async def _receive(self, request: Request, limit: int, pieces: list[bytes]) -> None:
        _refuse_long(int(request.headers.get("content-length", "0")[:20]), limit)
        received = 0
        async for piece in request.stream():
            received += len(piece)
            _refuse_long(received, limit)
            if self._held + len(piece) > MAX_HELD_BYTES:
                raise RefusedError(
                    503, "too much is sent at once: send it again", retry_after_s=_RETRY_S
                )
            self._held += len(piece)
            pieces.append(piece)
        if not received:
            raise RefusedError(422, "the body is empty: send what the request is about")


def refuse_form(request: Request) -> None:
    """Raise RefusedError for a form: an image is the whole body."""
    content_type = request.headers.get("content-type", "")
    if content_type.startswith(("multipart/", "application/json")):
        raise RefusedError(
            415,
            f"a body of type {content_type[:40]!r} is no image file: send the file itself, as "
            "curl --data-binary @IMAGE does",
        )


def _refuse_long(size: int, limit: int) -> None:
    if size > limit:
        raise RefusedError(413, f"a body here has at most {limit} bytes: make it smaller")
