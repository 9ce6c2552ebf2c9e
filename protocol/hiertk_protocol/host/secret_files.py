"""Secrets and certificates: where their files lie, and reading a secret from one."""

import os
import stat
from pathlib import Path

from hiertk_protocol.errors import ConfigError

MAX_SECRET_BYTES = 4096
# The unit loads a whole folder, and systemd puts this name before those of its files.
CREDENTIAL_PREFIX = "hiertk_"
_OTHERS = 0o077


def credential_path(path: Path, folder: Path | None) -> Path:
    """Return where a file lies that the configuration names.

    A relative one is looked for in $CREDENTIALS_DIRECTORY, which systemd sets; without it in
    `folder`. An absolute one is taken as it is.
    """
    loaded = _credentials_directory()
    if loaded is not None and not path.is_absolute():
        prefixed = loaded / f"{CREDENTIAL_PREFIX}{path}"
        return prefixed if prefixed.exists() else loaded / path
    return path if folder is None else folder / path


def read_secret(path: Path) -> str:
    """Read a file of one line that only its owner can read, or that systemd has loaded.

    Raises ConfigError; its text never tells anything of the content.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"secret {path}: {error.strerror}: put the secret there") from error
    refuse_readable_by_others(path, mode)
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(f"secret {path}: more than {MAX_SECRET_BYTES} bytes: not one line")
    return _one_line(path, data)


def refuse_readable_by_others(path: Path, mode: int) -> None:
    """Raise ConfigError unless only the owner can read a file, or systemd has loaded it."""
    if mode & _OTHERS and not _is_loaded(path):
        raise ConfigError(
            f"secret {path}: others can read it (mode {stat.S_IMODE(mode):o}): chmod 600 {path}"
        )


def _one_line(path: Path, data: bytes) -> str:
    wanted = "write the secret as its only line, in UTF-8"
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        # Not chained: its text repeats the bytes.
        raise ConfigError(f"secret {path}: not UTF-8: {wanted}") from None
    if len(lines) != 1 or not lines[0].strip():
        raise ConfigError(f"secret {path}: {len(lines)} lines or an empty one: {wanted}")
    return lines[0]


def _is_loaded(path: Path) -> bool:
    folder = _credentials_directory()
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def _credentials_directory() -> Path | None:
    name = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(name) if name else None
