import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hiertk_protocol.bundle import MANIFEST, describe_file, open_bundle, zip_bundle
from hiertk_protocol.errors import BundleError, HiertkError
from hiertk_protocol.manifest import MAX_MANIFEST_BYTES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol_samples import FILES, make_manifest, write_bundle

NAME = "edge/checkpoint"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def whole_zip(files: dict[str, bytes] = FILES) -> dict[str, bytes]:
    return {MANIFEST: make_manifest(files).to_json(), **files}


# Folders


def test_a_whole_bundle_opens(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.manifest == make_manifest()
    assert bundle.path(NAME).read_bytes() == FILES[NAME]


def test_a_file_that_the_manifest_lacks_is_not_given_out(folder: Path) -> None:
    (folder / "edge" / "other").write_bytes(b"")
    with pytest.raises(BundleError, match="no edge/other in the manifest"):
        open_bundle(folder).path("edge/other")


def test_files_are_described_by_size_and_checksum(folder: Path) -> None:
    assert describe_file(folder / NAME) == make_manifest().files[NAME]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def replace_by_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (Path.unlink, "No such file"),
        (truncate, "1299 bytes, the manifest says 1300"),
        (change_a_byte, "checksum"),
        (replace_by_a_link, "not a plain file"),
        (replace_by_a_folder, "copy or export"),
        (replace_by_a_pipe, "the manifest says 1300"),
    ],
)
def test_a_damaged_file_is_refused_and_named(
    folder: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(folder / NAME)
    with pytest.raises(BundleError, match=reason) as caught:
        open_bundle(folder)
    assert NAME in str(caught.value)


def test_an_empty_file_that_is_a_folder_or_pipe_is_refused(folder: Path) -> None:
    (folder / "golden/steps.safetensors").unlink()
    os.mkfifo(folder / "golden/steps.safetensors")
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(folder)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is this a bundle folder"):
        open_bundle(tmp_path)


def test_a_path_that_does_not_exist_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="neither"):
        open_bundle(tmp_path / "nowhere")


def test_a_manifest_that_is_too_large_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b" " * (MAX_MANIFEST_BYTES + 1000))
    with pytest.raises(BundleError, match="more than"):
        open_bundle(folder)


# Zips


def test_a_zipped_bundle_opens_and_is_unpacked_once(folder: Path, tmp_path: Path) -> None:
    zipped = tmp_path / "bundle.zip"
    zip_bundle(folder, zipped)
    bundle = open_bundle(zipped)
    assert bundle.folder == tmp_path / f"bundle-{bundle.manifest.deployment}"
    before = (bundle.folder / NAME).stat()
    assert open_bundle(zipped) == bundle
    after = (bundle.folder / NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_another_bundle_in_a_zip_of_the_same_name_is_unpacked_too(tmp_path: Path) -> None:
    zipped = tmp_path / "bundle.zip"
    write_zip(zipped, whole_zip())
    first = open_bundle(zipped)
    write_zip(zipped, whole_zip({NAME: b"new"}))
    second = open_bundle(zipped)
    assert second.folder != first.folder
    assert second.path(NAME).read_bytes() == b"new"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({NAME: b"x"}, "manifest.json"),
        ({MANIFEST: b"{}"}, "schema version|target"),
        ({MANIFEST: make_manifest().to_json()}, NAME),
        ({**whole_zip(), NAME: FILES[NAME][:-1]}, "1299 bytes in the zip"),
        ({**whole_zip(), NAME: FILES[NAME] + b"x"}, "1301 bytes in the zip"),
        ({**whole_zip(), NAME: FILES[NAME].upper()}, "checksum"),
        ({MANIFEST: b" " * (MAX_MANIFEST_BYTES + 1)}, "larger than"),
    ],
)
def test_a_wrong_zip_is_refused_and_leaves_nothing(
    tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    zipped = tmp_path / "bundle.zip"
    write_zip(zipped, files)
    with pytest.raises(BundleError, match=reason):
        open_bundle(zipped)
    assert list(tmp_path.iterdir()) == [zipped]


def test_a_good_zip_opens_after_a_wrong_one_of_the_same_deployment(tmp_path: Path) -> None:
    zipped = tmp_path / "bundle.zip"
    write_zip(zipped, {**whole_zip(), NAME: FILES[NAME].upper()})
    with pytest.raises(BundleError):
        open_bundle(zipped)
    write_zip(zipped, whole_zip())
    assert open_bundle(zipped).path(NAME).read_bytes() == FILES[NAME]


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "edge/../../escaped"])
def test_names_that_lead_out_of_the_folder_are_never_unpacked(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    write_zip(inside / "bundle.zip", {**whole_zip(), name: b"escaped"})
    bundle = open_bundle(inside / "bundle.zip")
    unpacked = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*")}
    assert unpacked == {MANIFEST, *FILES, "edge", "cloud", "golden"}
    assert list(tmp_path.iterdir()) == [inside]


def test_links_in_a_zip_are_unpacked_as_the_files_they_claim_to_be(tmp_path: Path) -> None:
    zipped = tmp_path / "bundle.zip"
    link = zipfile.ZipInfo(NAME)
    link.external_attr = 0o120777 << 16
    files = {NAME: b"/etc/passwd"}
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr(MANIFEST, make_manifest(files).to_json())
        archive.writestr(link, files[NAME])
    path = open_bundle(zipped).path(NAME)
    assert not path.is_symlink()
    assert path.read_bytes() == b"/etc/passwd"


def test_a_file_and_a_folder_of_the_same_name_are_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "bundle.zip", whole_zip({"edge": b"x", "edge/y": b"y"}))
    with pytest.raises(HiertkError):
        open_bundle(tmp_path / "bundle.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", [MANIFEST, NAME])
def test_a_zip_bomb_is_refused_before_it_takes_memory(
    tmp_path: Path, method: int, name: str
) -> None:
    zipped = tmp_path / "bundle.zip"
    write_zip(zipped, {**whole_zip(), name: bytes(16 << 20)}, method)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError):
            open_bundle(zipped)
        # A read joins its pieces, so the manifest's limit of 1 MiB is taken twice.
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert list(tmp_path.iterdir()) == [zipped]


def test_a_zip_whose_header_understates_a_file_unpacks_no_more_than_it_says(
    tmp_path: Path,
) -> None:
    zipped = tmp_path / "bundle.zip"
    write_zip(zipped, {**whole_zip(), NAME: bytes(16 << 20)})
    stated = (16 << 20).to_bytes(4, "little")
    zipped.write_bytes(zipped.read_bytes().replace(stated, (1300).to_bytes(4, "little")))
    with pytest.raises(BundleError):
        open_bundle(zipped)
    assert list(tmp_path.iterdir()) == [zipped]


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(BundleError, match="not a bundle zip"):
        open_bundle(tmp_path / "bundle.zip")


@given(st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_changed_zip_opens_whole_or_raises_errors_of_the_tree(
    tmp_path: Path, data: st.DataObject
) -> None:
    zipped = tmp_path / "bundle.zip"
    write_zip(zipped, whole_zip({NAME: b"weights " * 20}))
    content = bytearray(zipped.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    zipped.write_bytes(bytes(content))
    try:
        bundle = open_bundle(zipped)
    except HiertkError:
        return
    assert bundle.path(NAME).read_bytes() == b"weights " * 20
