"""Putting the service in place: systemd unit, configuration, and the folder of its secrets.

No user is made: the unit's DynamicUser gives the service one while it runs.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.files import atomic_file

UNIT = "hiertk-cloud.service"
_UNIT_PATH = Path("etc/systemd/system") / UNIT
_ENABLED = Path("etc/systemd/system/multi-user.target.wants") / UNIT
_CONFIGURATION = Path("etc/hiertk/cloud.toml")
_CREDENTIALS = Path("etc/hiertk/credentials")
_SHIPPED_PROGRAM = "/opt/hiertk/bin/hiertk-cloud"
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  (ProtectHome, PrivateTmp)


@dataclass(frozen=True)
class Deed:
    """What was done, or would be, about a path."""

    path: Path
    done: str


@dataclass(frozen=True)
class Installation:
    """Where the service is put. program: absolute path of hiertk-cloud as the unit will see it."""

    root: Path
    program: Path
    is_dry: bool = False

    @property
    def is_live(self) -> bool:
        """Whether this is the running system, with its systemd."""
        return self.root.resolve() == Path("/") and Path("/run/systemd/system").is_dir()

    def install(self) -> list[Deed]:
        """Put everything in place; what is there already stays. Raises StorageError."""
        deeds = [self._write_unit(), self._write_configuration(), self._make_credentials()]
        self._reload()
        return deeds

    def uninstall(self) -> list[Deed]:
        """Stop the service and remove its unit; configuration, secrets and state stay."""
        if self.is_live and not self.is_dry and (self.root / _UNIT_PATH).exists():
            _systemctl("disable", "--now", UNIT)
        going = [path for path in (self.root / _ENABLED, self.root / _UNIT_PATH) if _is_there(path)]
        staying = [self.root / _CONFIGURATION, self.root / _CREDENTIALS]
        deeds = [self._remove(path) for path in going]
        self._reload()
        return deeds + [Deed(path, "kept") for path in staying if path.exists()]

    def _write_unit(self) -> Deed:
        path = self.root / _UNIT_PATH
        text = shipped(UNIT).replace(_SHIPPED_PROGRAM, _quoted(self.program))
        if path.is_file() and path.read_text(errors="replace") == text:
            return Deed(path, "unchanged")
        done = "replaced" if path.exists() else "written"
        return self._write(path, text, done)

    def _write_configuration(self) -> Deed:
        path = self.root / _CONFIGURATION
        if path.exists():
            return Deed(path, "kept")
        return self._write(path, shipped(path.name), "written")

    def _make_credentials(self) -> Deed:
        path = self.root / _CREDENTIALS
        is_there = path.is_dir()
        if not self.is_dry:
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.chmod(0o700)
            except OSError as error:
                raise StorageError(f"cannot make {path}: {error.strerror}") from error
        return Deed(path, "kept" if is_there else "made")

    def _write(self, path: Path, text: str, done: str) -> Deed:
        if not self.is_dry:
            with atomic_file(path) as temporary:
                temporary.write_text(text)
                temporary.chmod(0o644)
        return Deed(path, done)

    def _remove(self, path: Path) -> Deed:
        if not self.is_dry:
            try:
                path.unlink()
            except OSError as error:
                raise StorageError(f"cannot remove {path}: {error.strerror}") from error
        return Deed(path, "removed")

    def _reload(self) -> None:
        if self.is_live and not self.is_dry:
            _systemctl("daemon-reload")


def shipped(name: str) -> str:
    """Return a file of the package's folder `deploy`."""
    return (resources.files("hiertk_cloud") / "deploy" / name).read_text()


def find_program(root: Path) -> Path:
    """Return where this very hiertk-cloud is, as a system in `root` sees it.

    Raises ConfigError if the service could not run it from there.
    """
    program = Path(sys.executable).with_name("hiertk-cloud")
    if not program.exists():
        raise ConfigError(f"{program} is missing: pip install 'hiertk[cloud]', or say --program")
    for path in _named_by(program):
        hidden = next((folder for folder in _HIDDEN if path.is_relative_to(folder)), None)
        if hidden:
            raise ConfigError(
                f"{path}: the service cannot see {hidden}: install HierTK elsewhere, such as in "
                "/opt/hiertk, or say --program"
            )
    inside = program.is_relative_to(root.resolve())
    return Path("/") / program.relative_to(root.resolve()) if inside else program


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _named_by(program: Path) -> Iterator[Path]:
    yield program
    yield Path(os.path.realpath(sys.executable))


def _quoted(program: Path) -> str:
    """Return the path as systemd reads it in ExecStart."""
    text = str(program).replace("\\", "\\\\").replace("%", "%%")
    return f'"{text}"' if " " in text else text


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(
        ["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        line = " ".join(done.stderr.split())
        raise StorageError(f"systemctl {' '.join(arguments)} failed: {line}")
