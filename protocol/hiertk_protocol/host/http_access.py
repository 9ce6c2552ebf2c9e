"""Who may ask an HTTP server of ours, told by a request's headers alone.

A web page that a browser on this machine shows can ask too, by a name that resolves to 127.0.0.1
(DNS rebinding) or by a form that posts across sites. The headers Host, Origin and Sec-Fetch-Site,
which a page cannot choose, tell them apart.
"""

import hmac
from collections.abc import Mapping

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def is_local_host(host: str) -> bool:
    """Return whether a Host header names this machine, by a name that nobody else can give it."""
    name, _, port = host.rpartition(":")
    return host.lower() in _LOCAL_NAMES or (port.isdigit() and name.lower() in _LOCAL_NAMES)


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether a program asks, or a page of this very server. headers: by lower-case name."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return False
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def has_token(headers: Mapping[str, str], token: bytes) -> bool:
    """Return whether a request carries the token, in a time that tells nothing of it."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    is_equal = hmac.compare_digest(given.strip().encode(), token)
    return is_equal and scheme.lower() == "bearer"
