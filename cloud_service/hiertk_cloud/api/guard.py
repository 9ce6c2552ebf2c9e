"""Who may ask: the token, and where there is none, nobody but this machine's own programs."""

import json
from collections.abc import Container

from hiertk_protocol.host.http_access import (
    SECURITY_HEADERS,
    has_token,
    is_local_host,
    is_same_origin,
)
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 4096

_HEADERS = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Guard:
    """ASGI middleware that refuses, and puts the security headers on every answer.

    open_paths: what needs no token. upload_paths: what takes a large body, and bounds it itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        open_paths: Container[str],
        upload_paths: Container[str],
    ) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._open_paths = open_paths
        self._upload_paths = upload_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_open = scope["path"] in self._open_paths

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                # Files are asked for again after an upgrade; numbers are never kept.
                headers["Cache-Control"] = "no-cache" if is_open else "no-store"
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(headers, is_open=is_open)
        if refusal is None and scope["path"] not in self._upload_paths:
            refusal = _body_refusal(headers)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await _refuse(send_with_headers, *refusal)

    def _refusal(self, headers: Headers, *, is_open: bool) -> tuple[int, str] | None:
        """Return the HTTP status and the reason, or None if the request may pass."""
        if self._token is None and not is_local_host(headers.get("host", "")):
            return 403, "without a token the API answers to localhost only: set a token"
        if is_open:
            return None
        if not is_same_origin(headers):
            return 403, "a page of another site may not ask"
        if self._token is not None and not has_token(headers, self._token):
            return 401, "the token is missing or wrong: send 'Authorization: Bearer TOKEN'"
        return None


def _body_refusal(headers: Headers) -> tuple[int, str] | None:
    if "transfer-encoding" in headers:
        return 411, "a body needs a Content-Length"
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > MAX_BODY_BYTES:
        return 413, f"a body has at most {MAX_BODY_BYTES} bytes"
    return None


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": reason}).encode()})
