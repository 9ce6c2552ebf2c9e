"""Opening a source by its text: every kind, every option, and clear words for the rest."""

from pathlib import Path

import pytest
from edge_parts import CLASSES, make_manifest, write_images
from hiertk_edge.sources import (
    DATA_SETS,
    STREAMS,
    Stream,
    is_stream,
    open_data_set,
    open_stream,
    source_help,
)
from hiertk_edge.sources.camera import Camera
from hiertk_edge.sources.watch import WatchedFolder
from hiertk_protocol.errors import ConfigError
from source_parts import Told

INFO = make_manifest().input


def stream_of(text: str, state: Path) -> Stream:
    return open_stream(text, CLASSES, INFO, state=state, problems=Told().problems)


@pytest.mark.parametrize("text", ["", "folder", "folder:", "http://x", "mqtt:x", "watch:x"])
def test_an_unknown_data_set_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigError, match=r"folder:PATH.*csv:PATH"):
        open_data_set(text, CLASSES, INFO)


@pytest.mark.parametrize("text", ["", "watch", "watch:", "camera:?label=red", "folder:x"])
def test_an_unknown_stream_says_how_to_write_one(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"watch:PATH.*camera:PLACE"):
        stream_of(text, tmp_path)


def test_data_sets_and_streams_are_told_apart_and_all_are_in_the_help() -> None:
    assert [is_stream(kind.form) for kind in DATA_SETS] == [False, False]
    assert [is_stream(kind.form) for kind in STREAMS] == [True, True]
    assert all(kind.form in source_help() for kind in (*DATA_SETS, *STREAMS))


def test_a_folder_and_a_csv_of_the_same_images_are_gone_through_alike(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "data", 3)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.*"))
    rows = "".join(f"{file},{file.parent}\n" for file in files)
    (folder / "list.csv").write_text("path,label\n" + rows)
    one = open_data_set(f"folder:{folder}", CLASSES, INFO)
    other = open_data_set(f"csv:{folder / 'list.csv'}", CLASSES, INFO)
    assert (one.digest, len(one)) == (other.digest, len(other))


def test_a_watched_folder_keeps_its_memory_in_the_state_folder(tmp_path: Path) -> None:
    stream = stream_of(f"watch:{tmp_path}/in?then=delete", tmp_path)
    assert isinstance(stream, WatchedFolder)
    assert (tmp_path / "watched.sqlite").exists()
    stream.stop()


def test_a_camera_takes_its_options_from_behind_the_last_question_mark(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    stream = stream_of("camera:http://cam/v?stream=1?every_s=2&label=blue", tmp_path)
    assert isinstance(stream, Camera)
    assert (stream._place, stream._every_s, stream._label) == ("http://cam/v?stream=1", 2.0, "blue")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("watch:in?then=burn", "then=delete"),
        ("watch:in?label=red", "no option is called 'label'.*then"),
        ("camera:0?label=purple", "purple.*red, green, blue"),
        ("camera:0?every_s=0", "0.01 to 3600"),
        ("camera:0?every_s=nan", "0.01 to 3600"),
        ("camera:0?every_s=often", "0.01 to 3600"),
        ("camera:http://cam/v?stream=1", "another one at its end"),
    ],
)
def test_a_wrong_option_is_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        stream_of(text, tmp_path)
