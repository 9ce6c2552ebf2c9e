"""The kinds of sources, and opening one by its text, such as `folder:PATH`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import InputInfo

from hiertk_edge.sources.csv_file import list_csv
from hiertk_edge.sources.folder import list_folder
from hiertk_edge.sources.listed_images import ListedImages
from hiertk_edge.sources.listing import some
from hiertk_edge.sources.pixel_cache import PixelCache
from hiertk_edge.sources.record import DataSet, FixedLabels, Labels, Stream

WATCHED_FILES = "watched.sqlite"


@dataclass(frozen=True)
class SourceKind:
    """A kind of source. form: how it is written. what: in a few words what it gives."""

    form: str
    what: str

    @property
    def name(self) -> str:
        """What stands before the colon."""
        return self.form.partition(":")[0]


DATA_SETS = (
    SourceKind("folder:PATH", "with one subfolder of images per class"),
    SourceKind("csv:PATH", "a table of images with the columns path and label"),
)
STREAMS = (
    SourceKind(
        "watch:PATH",
        "a folder into which images are put, in subfolders named after their class, or with their "
        "class in a file of the same name that ends with .txt; ?then=delete deletes what is taken",
    ),
    SourceKind(
        "camera:PLACE",
        "a device number, a video file, a URL, or picamera2; ?every_s=0.5&label=CLASS",
    ),
)


def source_help() -> str:
    """Return one line that names all kinds, for --help."""
    return "; ".join(f"{kind.form}, {kind.what}" for kind in (*DATA_SETS, *STREAMS)) + "."


def is_stream(text: str) -> bool:
    """Return whether a source's text names a stream."""
    return text.partition(":")[0] in {kind.name for kind in STREAMS}


def open_data_set(
    text: str,
    class_names: Sequence[str],
    info: InputInfo,
    *,
    cache: Path | None = None,
    labels: Labels | None = None,
) -> DataSet:
    """Open `folder:PATH` or `csv:PATH`. cache: the folder where decoded images are kept.

    class_names: the bundle's. labels: which names are classes; None: these. Raises ConfigError.
    """
    kind, _, path = text.partition(":")
    if not path or kind not in {one.name for one in DATA_SETS}:
        raise ConfigError(f"data {text!r}: {_choices(DATA_SETS)}")
    list_files = list_csv if kind == "csv" else list_folder
    listing = list_files(Path(path), class_names, labels)
    kept = None
    if cache is not None:
        kept = PixelCache(cache, f"{listing.folder} {listing.digest}", info.size)
    return ListedImages(listing, info, kept, labels)


def open_stream(
    text: str,
    class_names: Sequence[str],
    info: InputInfo,
    *,
    state: Path,
    problems: Problems,
    labels: Labels | None = None,
) -> Stream:
    """Open `watch:PATH` or `camera:PLACE`. state: the folder of what survives a restart.

    class_names: the bundle's. labels: which names are classes; None: these. Options follow the last
    question mark; a URL that has one of its own ends with another. Raises ConfigError or
    StorageError.
    """
    labels = labels or FixedLabels(class_names)
    kind, place, query = stream_parts(text)
    if not place or kind not in {one.name for one in STREAMS}:
        raise ConfigError(f"stream {kind!r:.60}: {_choices(STREAMS)}")
    if kind == "watch":
        from hiertk_edge.sources.watch import WatchedFolder

        options = _options(kind, query, ("then",))
        return WatchedFolder(
            Path(place),
            labels,
            info,
            memory=state / WATCHED_FILES,
            problems=problems,
            deletes=_deletes(options.get("then")),
        )
    from hiertk_edge.sources.camera import Camera

    options = _options(kind, query, ("every_s", "label"))
    return Camera(
        place,
        info,
        problems=problems,
        every_s=_every_s(options.get("every_s", "0.5")),
        label=_label(options.get("label"), labels),
    )


def stream_parts(text: str) -> tuple[str, str, str]:
    """Return kind, place and options of a stream's text; the last two may be empty."""
    kind, _, rest = text.partition(":")
    place, mark, query = rest.rpartition("?")
    return (kind, place, query) if mark else (kind, query, "")


def _choices(kinds: Sequence[SourceKind]) -> str:
    return "write " + ", or ".join(f"{kind.form}, {kind.what}" for kind in kinds)


def _options(kind: str, query: str, known: Sequence[str]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            raise ConfigError(
                f"{kind}: no option is called {name!r:.60}: there are {', '.join(known)}; if the "
                "question mark belongs to the address, write another one at its end"
            )
    return options


def _deletes(then: str | None) -> bool:
    if then not in (None, "delete", "keep"):
        raise ConfigError(f"watch: then={then:.60}: write then=delete, or then=keep")
    return then == "delete"


def _every_s(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.01 <= seconds <= 3600:
        raise ConfigError(f"camera: every_s={text:.60}: name seconds from 0.01 to 3600")
    return seconds


def _label(label: str | None, labels: Labels) -> str | None:
    if label is not None and labels.take(label) is None:
        raise ConfigError(
            f"camera: label={label:.60}: no class is called so: there are {some(labels.names)}"
        )
    return label
