"""What a device or the service shows the broker, and whose signature it asks of it."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hiertk_protocol.errors import ConfigError

_MAX_PEM_BYTES = 1 << 20


@dataclass(frozen=True)
class Credentials:
    """Files and names for a connection over TLS; they are read anew for each connection.

    ca: who may have signed the broker's certificate, PEM; None is the system's own list.
    certificate, key: this side's own, PEM, both or neither. username, password: both or neither.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def check(self, *, tls: bool) -> None:
        """Raise ConfigError if something is missing or unreadable, or would travel unprotected."""
        if not tls and self != Credentials():
            raise ConfigError(
                "certificates and passwords need TLS: write the broker as mqtts://HOST[:PORT]"
            )
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("a certificate needs its key, and a key its certificate: give both")
        if (self.username is None) != (self.password is None):
            raise ConfigError("a user name needs its password, and a password its user name")
        if tls:
            self.tls_context()

    def tls_context(self) -> ssl.SSLContext:
        """Read the files; TLS 1.2 at least, and the host's name is checked. Raises ConfigError."""
        ca = _bounded(self.ca, "CA certificate")
        certificate = _bounded(self.certificate, "certificate")
        key = _bounded(self.key, "key")
        try:
            context = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise ConfigError(f"CA certificate {ca}: damaged: copy it again") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _ClosingSocket
        if certificate is not None:
            try:
                # A key with a passphrase would otherwise ask for it on the terminal.
                context.load_cert_chain(certificate, key, password="")
            except OSError as error:
                raise ConfigError(
                    f"certificate {certificate} and key {key}: damaged, not of one pair, or the "
                    "key has a passphrase: copy both again"
                ) from error
        return context


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho would leave it open."""

    def do_handshake(self, *arguments: Any) -> None:
        try:
            super().do_handshake(*arguments)
        except OSError:
            self.close()
            raise


def _bounded(path: Path | None, what: str) -> str | None:
    """Return a path that OpenSSL may read whole."""
    if path is None:
        return None
    try:
        if not path.is_file():
            raise ConfigError(f"{what} {path}: no such file: give the PEM file of `provision`")
        with path.open("rb") as file:
            data = file.read(_MAX_PEM_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{what} {path}: {error.strerror}") from error
    if len(data) > _MAX_PEM_BYTES or b"-----BEGIN " not in data:
        raise ConfigError(f"{what} {path}: not a PEM file")
    return str(path)
