"""Writing keys and passwords: nobody else may read them, not even for a moment."""

import os
from pathlib import Path

from hiertk_protocol.files import atomic_file

OWNER_ONLY = 0o600


def write_private(path: Path, data: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Write a file atomically that only its owner, or whom `mode` names, may read.

    Raises StorageError.
    """
    with atomic_file(path) as temporary:
        write_new_private(temporary, data, mode=mode)


def write_new_private(path: Path, data: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Write a file as above, but in place. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # one that a crash left may have another
        file.write(data)
