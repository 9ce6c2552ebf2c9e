"""Where the images come from: each source there, and readable."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.file_checks import advice_on_access
from hiertk_protocol.host.problems import Problems

from hiertk_edge.checks.bundle import UNIT
from hiertk_edge.sources import open_data_set, open_stream
from hiertk_edge.sources.kinds import stream_parts
from hiertk_edge.sources.record import FixedLabels


class _AnyName(FixedLabels):
    """Every name is a class, as where new ones are accepted."""

    def take(self, name: str) -> int | None:
        """Return the slot of a name; for a new one any number."""
        return self._slots.setdefault(name, len(self._slots))


def look_at_data(text: str, bundle: Bundle, *, accepts_new: bool = False) -> str:
    """List a data set; accepts_new: names beyond the bundle's classes, too. Raises ConfigError."""
    manifest = bundle.manifest
    labels = (_AnyName if accepts_new else FixedLabels)(manifest.classes.names)
    data = open_data_set(text, manifest.classes.names, manifest.input, labels=labels)
    path = Path(text.partition(":")[2])
    return f"{text}: {len(data)} images{advice_on_access(path, UNIT)}"


def look_at_stream(text: str, bundle: Bundle | None) -> str:
    """Say whether a stream's folder or camera is there; no image is taken. Raises ConfigError."""
    if bundle is not None:
        _refuse_wrong_options(text, bundle)
    kind, place, options = stream_parts(text)
    if kind == "watch":
        return _look_at_folder(Path(place), deletes="then=delete" in options)
    return _look_at_camera(place)


def _refuse_wrong_options(text: str, bundle: Bundle) -> None:
    manifest = bundle.manifest
    problems = Problems(lambda _kind, _text: None)
    with TemporaryDirectory() as folder:
        stream = open_stream(
            text, manifest.classes.names, manifest.input, state=Path(folder), problems=problems
        )
        stream.stop()


def _look_at_folder(path: Path, *, deletes: bool) -> str:
    if not path.is_dir():
        raise ConfigError(f"{path} is no folder: make it; until then nothing comes from it")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ConfigError(f"{path} cannot be read: chmod a+rX {path}")
    if deletes and not os.access(path, os.W_OK):
        raise ConfigError(f"{path} cannot be written, which then=delete needs: chmod it")
    return f"{path}{advice_on_access(path, UNIT)}"


def _look_at_camera(place: str) -> str:
    if place == "picamera2":
        return "Picamera2 is installed; the camera is not tried"
    if "://" in place:
        return "a camera in the network is not tried"
    path = Path(f"/dev/video{place}") if place.isdecimal() else Path(place)
    if not path.exists():
        raise ConfigError(f"{path} is not there: connect the camera, or name another")
    if not os.access(path, os.R_OK):
        raise ConfigError(
            f"{path} cannot be read: join the group video; for the service: "
            "hiertk-edge install --device NAME --camera"
        )
    return f"{path}"
