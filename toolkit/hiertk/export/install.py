"""Putting a bundle where the phone app is built from: the phone's side of it, not the cloud's.

The manifest stays as it is, so that the bundle keeps its id and its signature. It lists the cloud's
files, too; the app passes over them.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.bundle import MANIFEST, SIGNATURE, Bundle
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.files import atomic_folder

ASSETS = Path("app/src/main/assets/bundle")  # in the project
_OF_THE_CLOUD = "cloud/"
# What the files at the project's root say, and those of its modules do not.
_MARKS = {"settings.gradle.kts": ("hiertk",), "pom.xml": ("org.hiertk", "<modules>")}
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Installed:
    """What was put in place. size: in bytes."""

    folder: Path
    files: int
    size: int


def check_project(project: Path) -> None:
    """Raise ConfigError if a folder is not the project of the phone app."""
    for name, words in _MARKS.items():
        text = _text_of(project / name)
        if all(word in text for word in words):
            break
    else:
        raise ConfigError(
            f"--install-into {project}: no settings.gradle.kts or pom.xml of HierTK's app there: "
            "name the folder android_demo of a checkout"
        )
    target = project / ASSETS
    if target.exists() and not (target / MANIFEST).is_file():
        raise ConfigError(f"{target} is no bundle, and would be replaced: move it away")


def install(bundle: Bundle, project: Path) -> Installed:
    """Copy a bundle's phone side into the app's assets, in place of an older one.

    Raises ConfigError or StorageError.
    """
    check_project(project)
    target = project / ASSETS
    names = [name for name in bundle.manifest.files if not name.startswith(_OF_THE_CLOUD)]
    if (bundle.folder / SIGNATURE).exists():
        names.insert(0, SIGNATURE)
    names.insert(0, MANIFEST)
    with atomic_folder(target, replace=True) as temporary:
        for name in names:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.folder / name, temporary / name)
        size = sum((temporary / name).stat().st_size for name in names)
    return Installed(target, len(names), size)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_READ_BYTES).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
