"""The table of a data set: what it may say, and one clear line for every row that is wrong."""

import logging
from pathlib import Path

import pytest
from edge_parts import CLASSES, write_images
from hiertk_edge.sources import listing
from hiertk_edge.sources.csv_file import MAX_FIELD, list_csv
from hiertk_edge.sources.listing import Listing
from hiertk_protocol.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = "path,label\nred/000.jpg,red\nblue/000.jpg,blue\n"


def listed(folder: Path, content: str | bytes) -> Listing:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list_csv(path, CLASSES)


def test_rows_become_files_and_slots(tmp_path: Path) -> None:
    listing = listed(tmp_path, GOOD)
    assert listing.names == ("red/000.jpg", "blue/000.jpg")
    assert listing.labels.tolist() == [0, 2]
    assert listing.folder == tmp_path


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + GOOD.encode(),
        "label,id,path\nred,1,red/000.jpg\nblue,2,blue/000.jpg\n",
        'path,label\n"red/000.jpg","red"\n\nblue/000.jpg, blue',
    ],
    ids=["CRLF", "BOM", "other columns", "quotes and blanks"],
)
def test_what_programs_write_is_understood(tmp_path: Path, content: str | bytes) -> None:
    assert listed(tmp_path, content).names == ("red/000.jpg", "blue/000.jpg")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (b"a.png,purple", r"'purple' is no class: there are red, green, blue"),
        (b"a.png", "1 columns"),
        (b",red", "no path"),
        (b"a\0.png,red", "no path|NUL"),
        (b"/etc/passwd,red", "leaves the table's folder"),
        (b"../a.png,red", "leaves the table's folder"),
        (b"red/../../a.png,red", "leaves the table's folder"),
        (b"caf\xe9.png,red", "not UTF-8"),
        (b'"a.png,red', "end of data"),
        (b"x" * (MAX_FIELD + 1) + b",red", f"more than {MAX_FIELD}"),
        (b"x" * 100_000 + b",red", "longer than"),
    ],
)
def test_a_wrong_row_is_named_by_its_number_and_skipped(
    tmp_path: Path, row: bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines = GOOD.encode().splitlines()
    with caplog.at_level(logging.WARNING):
        listing = listed(tmp_path, b"\n".join([lines[0], lines[1], row, lines[2]]))
    assert listing.names == ("red/000.jpg", "blue/000.jpg")
    (record,) = caplog.records
    assert "list.csv: row 3: " in record.message
    assert "\n" not in record.message
    assert len(record.message) < 500
    assert any(part in record.message for part in says.split("|"))


def test_only_the_first_wrong_rows_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        listed(tmp_path, GOOD + "a.png,purple\n" * 100)
    assert len(caplog.records) == 21
    assert "further rows" in caplog.records[-1].message


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"red/000.jpg,red\nblue/000.jpg,blue\n", b"path;label\na;b\n", b"path\na.png\n",
     GOOD.encode("utf-16"), b"\x89PNG\r\n\x1a\n" + bytes(100)],
)  # fmt: skip
def test_a_file_without_the_columns_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"list.csv: row 1: .*path and label"):
        listed(tmp_path, content)


def test_a_table_without_a_right_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 images, 2 wrong rows"):
        listed(tmp_path, "path,label\na.png,purple\nb.png,pink\n")


def test_a_table_that_is_missing_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        list_csv(tmp_path / "none.csv", CLASSES)
    with pytest.raises(ConfigError, match="not a file"):
        list_csv(Path("/dev/zero"), CLASSES)


def test_the_number_of_images_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILES", 10)
    with pytest.raises(ConfigError, match="more than 10 images"):
        listed(tmp_path, "path,label\n" + "a.png,red\n" * 11)


def test_another_label_is_another_data_set(tmp_path: Path) -> None:
    digest = listed(tmp_path, GOOD).digest
    assert listed(tmp_path, GOOD).digest == digest
    assert listed(tmp_path, GOOD.replace(",blue", ",green")).digest != digest


def test_a_link_inside_of_the_folder_is_followed(tmp_path: Path) -> None:
    images = write_images(tmp_path / "elsewhere", 1)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "red").symlink_to(images / "red")
    listing = listed(tmp_path / "set", "path,label\nred/000.jpg,red\nred/000.jpg,red\n")
    assert (listing.folder / listing.names[0]).exists()


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=300), has_header=st.booleans())
def test_no_content_raises_anything_but_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, has_header: bool
) -> None:
    folder = tmp_path_factory.mktemp("table")
    try:
        found = listed(folder, (b"path,label\n" if has_header else b"") + content)
        assert len(found.names) == len(found.labels) >= 2
        outcome = ""
    except ConfigError as error:
        outcome = str(error)
    assert "\n" not in outcome
