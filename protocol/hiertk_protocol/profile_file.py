"""Profiles as files: small, TOML, read with care and written whole or not at all."""

from pathlib import Path
from typing import TypeVar

import tomli_w
from pydantic import ValidationError

from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.profile import PROFILE_VERSION, CloudProfile, EdgeProfile
from hiertk_protocol.toml_file import first_problem, read_toml

_AnyProfile = TypeVar("_AnyProfile", EdgeProfile, CloudProfile)


def read_edge_profile(path: Path) -> EdgeProfile:
    """Read a device's profile. Raises ConfigError, naming the first field that is wrong."""
    return _read(path, EdgeProfile)


def read_cloud_profile(path: Path) -> CloudProfile:
    """Read a cloud's profile. Raises ConfigError, naming the first field that is wrong."""
    return _read(path, CloudProfile)


def prepare_output(path: Path, *, replace: bool) -> None:
    """Make the folder of a profile that is about to be measured, or refuse before it is.

    Raises ConfigError if there is something at `path` already, StorageError if the disk refuses.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a file with --out")
    if path.exists() and not replace:
        raise ConfigError(f"{path} exists: choose another with --out, or --force to replace it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def write_profile(path: Path, profile: EdgeProfile | CloudProfile) -> None:
    """Write a profile as TOML, atomically. Raises StorageError."""
    with atomic_file(path) as temporary:
        content = profile.model_dump(mode="python", exclude_none=True)
        temporary.write_text(tomli_w.dumps(content), encoding="utf-8")


def _read(path: Path, kind: type[_AnyProfile]) -> _AnyProfile:
    content = read_toml(
        path,
        what="a profile",
        if_missing="measure one with hiertk profile",
        if_wrong="measure it again",
    )
    _check_kind(path, content, _role(kind))
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(
            f"{path}: not a profile of the {_role(kind)}: {first_problem(error)}: measure it again"
        ) from error


def _check_kind(path: Path, content: dict[str, object], role: str) -> None:
    """Say plainly what whole profiles are mistaken for; everything else is the model's business."""
    version = content.get("profile_version")
    if isinstance(version, int) and version != PROFILE_VERSION:
        raise ConfigError(
            f"{path}: profile version {str(version)[:20]} is not {PROFILE_VERSION}: "
            "measure it again with this version of hiertk"
        )
    found = content.get("role")
    if found in ("edge", "cloud") and found != role:
        raise ConfigError(
            f"{path}: a profile of the {found}, where one of the {role} is needed: "
            f"measure one with hiertk profile --role {role}"
        )


def _role(kind: type[_AnyProfile]) -> str:
    return str(kind.model_fields["role"].default)
