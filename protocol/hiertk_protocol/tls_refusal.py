"""Why TLS failed, in words that say which certificate it was and what to do about it."""

import re
import socket
import ssl
from contextlib import suppress

from hiertk_protocol.credentials import Credentials

_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64  # OpenSSL's X509_V_ERR_*
_ALERT = re.compile(r"ALERT_([A-Z_]+)\]")


def why_distrusted(error: ssl.SSLCertVerificationError, host: str, shown: Credentials) -> str:
    """Say what is wrong with the broker's certificate, and what to do."""
    if error.verify_code == _EXPIRED:
        return "its certificate has expired: renew it there, or set this machine's clock"
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet: set this machine's clock"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"its certificate is not for {host}: use a name that it was made for"
    trusted = f"the CA in {shown.ca}" if shown.ca else "a CA that this system knows"
    return f"its certificate is not of {trusted} ({error.verify_message}): give its own CA"


def ask_why_refused(host: str, port: int, shown: Credentials, timeout_s: float) -> str | None:
    """Connect once more, only to hear what the broker has against these credentials.

    Under TLS 1.3 it says so after the handshake, when what was written meanwhile has already
    failed. Returns None if it says nothing. Raises ConfigError.
    """
    context = shown.tls_context()
    alert = None
    with suppress(OSError), socket.create_connection((host, port), timeout=timeout_s) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as encrypted:
                encrypted.recv(1)
        except ssl.SSLError as error:
            alert = _ALERT.search(str(error))
    return None if alert is None else _meaning(alert[1], shown)


def _meaning(alert: str, shown: Credentials) -> str:
    if shown.certificate is None:
        return "it wants a certificate: give a certificate and its key"
    name = f"certificate {shown.certificate}"
    if alert == "CERTIFICATE_REVOKED":
        return f"{name} is revoked: have a new one made"
    if alert == "CERTIFICATE_EXPIRED":
        return f"{name} has expired: have it renewed, or set the broker's clock"
    said = alert.replace("_", " ").lower()
    return f"it does not trust {name} ({said}): have one made by its own CA"
