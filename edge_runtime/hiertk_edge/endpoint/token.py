"""The endpoint's token: whoever can read its file may ask."""

import re
import secrets
from pathlib import Path

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.secret_files import read_secret
from hiertk_protocol.private_files import write_private

_TOKEN_BYTES = 32
_USABLE = re.compile(r"[!-~]{16,4096}")  # what fits into a header, and cannot be guessed


def read_or_make_token(path: Path) -> str:
    """Return the token in a file, which is made, for its owner alone, if there is none.

    Raises ConfigError for one that is not usable, StorageError if it cannot be made.
    """
    if not path.exists():
        write_private(path, f"{secrets.token_hex(_TOKEN_BYTES)}\n".encode())
    token = read_secret(path)
    if not _USABLE.fullmatch(token):
        raise ConfigError(
            f"{path}: not usable as a token: delete it, and the next start makes a new one"
        )
    return token
