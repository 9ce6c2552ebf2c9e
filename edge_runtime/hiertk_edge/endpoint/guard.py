"""Who may ask: this machine's own programs that have the token, and no page of another site.

It stands before all routes, and tells of whatever goes wrong behind it.
"""

import logging
from collections.abc import Container

from hiertk_protocol.host.http_access import (
    SECURITY_HEADERS,
    has_token,
    is_local_host,
    is_same_origin,
)
from hiertk_protocol.host.problems import Problems
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hiertk_edge.endpoint.record import RefusedError

_log = logging.getLogger(__name__)


class Guard:
    """ASGI application before another one. open_paths: what needs no token."""

    def __init__(
        self, app: ASGIApp, *, token: str, open_paths: Container[str], problems: Problems
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._open_paths = open_paths
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", "default-src 'none'")
                headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            self._check(Headers(scope=scope), scope["path"])
            await self._app(scope, receive, send_with_headers)
        except RefusedError as refusal:
            await refusal_response(refusal)(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - a fault of ours ends one answer, and is told
            self._tell(error)

    def _check(self, headers: Headers, path: str) -> None:
        if not is_local_host(headers.get("host", "")):
            raise RefusedError(403, "ask by the name localhost or 127.0.0.1, from this machine")
        if path in self._open_paths:
            return
        if not is_same_origin(headers):
            raise RefusedError(403, "a page of another site may not ask")
        if not has_token(headers, self._token):
            raise RefusedError(
                401, "the token is missing or wrong: send 'Authorization: Bearer TOKEN'"
            )

    def _tell(self, error: Exception) -> None:
        _log.debug("an answer failed", exc_info=error)
        line = " ".join(str(error).split())[:300]
        self._problems.begin(
            "endpoint_answer",
            f"the HTTP endpoint failed to answer a request: {type(error).__name__}: {line}: "
            "report it; all else goes on",
        )


def refusal_response(refusal: RefusedError) -> Response:
    """Return the answer that says why."""
    headers = {}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return JSONResponse({"error": str(refusal)}, refusal.status, headers)
