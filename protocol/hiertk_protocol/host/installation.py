"""Putting a service in place: systemd units, configurations, and folders of secrets.

No user is made: the units' DynamicUser gives a service one while it runs.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.files import atomic_file

UNITS = Path("etc/systemd/system")
WANTED = UNITS / "multi-user.target.wants"
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  (ProtectHome, PrivateTmp)


@dataclass(frozen=True)
class Deed:
    """What was done, or would be, about a path."""

    path: Path
    done: str


@dataclass(frozen=True)
class Parts:
    """What belongs to a service; paths are below the root.

    units: what systemd reads, which is brought up to date. settings: texts that stay once they are
    there. secrets: folders that only root may enter. running: what systemctl stops, a name or a
    pattern. enabled: what else goes with it, such as links by which systemd starts it.
    """

    units: Mapping[Path, str]
    settings: Mapping[Path, str]
    secrets: tuple[Path, ...]
    running: str
    enabled: tuple[Path, ...] = field(default=())


@dataclass(frozen=True)
class Installation:
    """Where a service is put."""

    root: Path
    parts: Parts
    is_dry: bool = False

    @property
    def is_live(self) -> bool:
        """Whether this is the running system, with its systemd."""
        return self.root.resolve() == Path("/") and Path("/run/systemd/system").is_dir()

    def install(self) -> list[Deed]:
        """Put everything in place; settings that are there stay. Raises StorageError."""
        deeds = [self._bring_up_to_date(path, text) for path, text in self.parts.units.items()]
        deeds += [self._write_once(path, text) for path, text in self.parts.settings.items()]
        deeds += [self._make_secret(path) for path in self.parts.secrets]
        self._reload()
        return deeds

    def uninstall(self) -> list[Deed]:
        """Stop the service and remove its units; settings, secrets and state stay."""
        places = [self.root / path for path in (*self.parts.enabled, *self.parts.units)]
        going = [path for path in places if path.exists() or path.is_symlink()]
        if going and self.is_live and not self.is_dry:
            _systemctl("stop", self.parts.running)
        staying = [self.root / path for path in (*self.parts.settings, *self.parts.secrets)]
        deeds = [self._remove(path) for path in going]
        self._reload()
        return deeds + [Deed(path, "kept") for path in staying if path.exists()]

    def _bring_up_to_date(self, place: Path, text: str) -> Deed:
        path = self.root / place
        if path.is_file() and path.read_text(errors="replace") == text:
            return Deed(path, "unchanged")
        return self._write(path, text, "replaced" if path.exists() else "written")

    def _write_once(self, place: Path, text: str) -> Deed:
        path = self.root / place
        return Deed(path, "kept") if path.exists() else self._write(path, text, "written")

    def _make_secret(self, place: Path) -> Deed:
        path = self.root / place
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


def shipped(package: str, name: str) -> str:
    """Return a file of a package's folder `deploy`."""
    return (resources.files(package) / "deploy" / name).read_text()


def find_program(name: str, root: Path, extra: str) -> Path:
    """Return where this very program is, as a system in `root` sees it.

    extra: what pip installs it with. Raises ConfigError if the service could not run it from there.
    """
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        raise ConfigError(f"{program} is missing: pip install '{extra}', or say --program")
    for path in _named_by(program):
        hidden = next((folder for folder in _HIDDEN if path.is_relative_to(folder)), None)
        if hidden:
            raise ConfigError(
                f"{path}: the service cannot see {hidden}: install HierTK elsewhere, such as in "
                "/opt/hiertk, or say --program"
            )
    inside = program.is_relative_to(root.resolve())
    return Path("/") / program.relative_to(root.resolve()) if inside else program


def check_places(root: Path, program: Path | None) -> None:
    """Raise ConfigError unless --root and --program name what they should."""
    if not root.is_dir():
        raise ConfigError(f"--root {root} is not a folder: make the image first")
    if program is not None and not program.is_absolute():
        raise ConfigError(f"--program {program} is not absolute: systemd would not find it")


def quoted(program: Path) -> str:
    """Return a path as systemd reads it in ExecStart."""
    text = str(program).replace("\\", "\\\\").replace("%", "%%")
    return f'"{text}"' if " " in text else text


def print_deeds(
    deeds: Sequence[Deed], *, next_steps: Sequence[str], is_dry: bool, as_json: bool
) -> None:
    """Print what was done and what is to be done, for people or as JSON."""
    if as_json:
        done = [{"path": str(deed.path), "done": deed.done} for deed in deeds]
        print(json.dumps({"dry_run": is_dry, "deeds": done, "next": list(next_steps)}))
        return
    for deed in deeds:
        print(f"{'would be ' if is_dry else ''}{deed.done:<9} {deed.path}")
    if next_steps:
        print("Next:")
    for step in next_steps:
        print(f"  {step}")


def _named_by(program: Path) -> Iterator[Path]:
    yield program
    yield Path(os.path.realpath(sys.executable))


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(
        ["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=180
    )
    if done.returncode != 0:
        line = " ".join(done.stderr.split())
        raise StorageError(f"systemctl {' '.join(arguments)} failed: {line}")
