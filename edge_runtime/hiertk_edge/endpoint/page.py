"""The page for a person who stands at the robot: one file, asked for without the token."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

_FILE = Path(__file__).parent / "page.html"


async def page_response(_request: Request) -> Response:
    """Return the page, which asks for the token itself."""
    content, policy = _page()
    return HTMLResponse(content, headers={"Content-Security-Policy": policy})


@cache
def _page() -> tuple[bytes, str]:
    """Return the page, and a policy by which only its own script and style work."""
    content = _FILE.read_bytes()
    policy = (
        "default-src 'none'; connect-src 'self'; img-src blob:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"script-src {_hash_of(content, b'script')}; style-src {_hash_of(content, b'style')}"
    )
    return content, policy


def _hash_of(content: bytes, tag: bytes) -> str:
    found = re.search(b"<%b>(.*?)</%b>" % (tag, tag), content, re.DOTALL)
    assert found is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"
