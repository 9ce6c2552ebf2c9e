import io
import os
import resource
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from edge_parts import make_manifest
from hiertk_edge.images import MAX_BYTES, preprocess, read_image, read_image_bytes
from hiertk_protocol.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

INFO = make_manifest().input


def write_png(path: Path, size: tuple[int, int], mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def png_of(*chunks: bytes) -> bytes:
    lengths = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(lengths)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png_of(body, b"IDAT" + zlib.compress(b"\0" * 1000))


def png_with(chunk: bytes) -> bytes:
    """Return a good PNG of 4x4 with one more chunk before its pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    return png_of(body, chunk, b"IDAT" + zlib.compress(bytes(4 * 13)), b"IEND")


def mode_or_refusal(path: Path) -> str:
    try:
        return read_image(path).mode
    except ConfigError as error:
        return str(error)


def test_preprocessing_is_scale_shift_and_nothing_else_at_the_right_size(tmp_path: Path) -> None:
    image = read_image(write_png(tmp_path / "a.png", (16, 16)))
    values = preprocess(image, INFO)
    assert values.shape == (3, 16, 16)
    assert values.dtype == np.float32
    for channel in range(3):
        for row, column in ((0, 0), (3, 11), (15, 15)):
            pixel = image.getpixel((column, row))
            assert isinstance(pixel, tuple)
            wanted = (pixel[channel] / 255 - INFO.mean[channel]) / INFO.std[channel]
            assert values[channel, row, column] == pytest.approx(wanted, abs=1e-6)


def test_a_larger_image_is_averaged_not_sampled(tmp_path: Path) -> None:
    # A chessboard of single pixels: without antialiasing the result would be black or white.
    board = (np.indices((160, 160)).sum(axis=0) % 2 * 255).astype(np.uint8)
    values = preprocess(Image.fromarray(board), INFO)
    grey = values * np.array(INFO.std).reshape(3, 1, 1) + np.array(INFO.mean).reshape(3, 1, 1)
    assert np.allclose(grey, 0.5, atol=0.02)


@pytest.mark.parametrize("size", [(40, 24), (7, 5), (16, 32)])
def test_any_size_becomes_the_input_size(tmp_path: Path, size: tuple[int, int]) -> None:
    image = read_image(write_png(tmp_path / "a.png", size))
    assert preprocess(image, INFO).shape == (3, 16, 16)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = write_png(tmp_path / "a.png", (20, 20), mode)
    assert read_image(path).mode == "RGB"


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "a.png", transparency=b"\x00\x80")
    assert read_image(tmp_path / "a.png").mode == "RGB"


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
def test_a_truncated_image_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write_png(tmp_path / "a.png", (64, 64))
    whole = tmp_path / f"b.{suffix}"
    read_image(path).save(whole)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ConfigError, match=f"b.{suffix}"):
        read_image(whole)


@pytest.mark.parametrize("size", [(9000, 9000), (12000, 12000), (60000, 60000)])
def test_a_decompression_bomb_is_refused_by_its_header(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(ConfigError, match="bomb"):
        read_image(path)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    read_image(write_png(tmp_path / "a.png", (8, 8))).save(tmp_path / "a.tiff")
    with pytest.raises(ConfigError, match="not an image"):
        read_image(tmp_path / "a.tiff")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.png: No such file"):
        read_image(tmp_path / "none.png")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), suffix=st.sampled_from(["png", "jpeg", "bmp", "webp"]))
def test_no_damage_raises_anything_but_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, suffix: str
) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (12, 9), (10, 200, 30)).save(whole, suffix)
    damaged = bytearray(whole.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "image"
    path.write_bytes(damaged)
    outcome = mode_or_refusal(path)
    assert outcome == "RGB" or (str(path) in outcome and "\n" not in outcome)


def bytes_of(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def colours() -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (24, 20, 3), np.uint8)
    return Image.fromarray(pixels)


def test_bytes_are_read_as_a_file_is_and_named_in_the_error(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", (20, 12))
    data = path.read_bytes()
    assert read_image_bytes(data, "POST /images") == read_image(path)
    with pytest.raises(ConfigError, match=r"POST /images: .*take an intact PNG"):
        read_image_bytes(data[:100], "POST /images")


def test_more_bytes_than_an_image_may_have_are_refused(tmp_path: Path) -> None:
    image = bytes_of(colours(), "BMP")
    path = tmp_path / "a.bmp"
    path.write_bytes(image)
    with path.open("ab") as file:
        file.truncate(MAX_BYTES)
    assert read_image(path).size == (20, 24)
    with path.open("ab") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ConfigError, match=r"a.bmp: more than 32 MiB"):
        read_image(path)


def test_a_pipe_or_a_folder_with_an_images_name_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name, says in (("pipe.png", "not a file"), ("folder.png", "Is a directory")):
        with pytest.raises(ConfigError, match=f"{name}: {says}"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    "chunk",
    [b"zTXtnote\0\0", b"iCCPprofile\0\0", b"iTXtnote\0\1\0\0\0"],
    ids=["zTXt", "iCCP", "iTXt"],
)
def test_a_chunk_that_unpacks_to_gigabytes_is_refused(chunk: bytes) -> None:
    packer = zlib.compressobj(1)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=r"x: .*take an intact PNG"):
        read_image_bytes(png_with(chunk + bomb), "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (64 << 10)
    good = chunk + zlib.compress(b"a remark")
    assert read_image_bytes(png_with(good), "x").size == (4, 4)


def test_of_several_pictures_the_first_counts() -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    options = {"save_all": True, "append_images": [second] * 3}
    moving = bytes_of(first, "WEBP", lossless=True, **options)
    camera = bytes_of(first, "MPO", quality=95, **options)
    for data in (moving, camera):
        pixel = read_image_bytes(data, "x").getpixel((8, 8))
        assert isinstance(pixel, tuple)
        assert pixel[0] > 250
        assert pixel[2] < 5
    with pytest.raises(ConfigError, match="not an image"):
        read_image_bytes(bytes_of(first, "GIF", **options), "x")


def test_pixels_are_taken_as_stored_whatever_the_orientation_says() -> None:
    image = colours()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read_image_bytes(bytes_of(image, "JPEG", exif=exif), "x")
    upright = read_image_bytes(bytes_of(image, "JPEG"), "x")
    assert turned.getexif()[0x0112] == 6
    assert np.array_equal(np.asarray(turned), np.asarray(upright))


def test_transparency_is_left_out() -> None:
    image = colours()
    clear = image.copy()
    clear.putalpha(Image.new("L", image.size, 10))
    assert read_image_bytes(bytes_of(clear, "PNG"), "x") == image


def test_of_16_bits_the_high_byte_counts() -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    grey = read_image_bytes(bytes_of(Image.fromarray(levels), "PNG"), "x")
    assert np.array_equal(np.asarray(grey)[..., 1], levels >> 8)
    body = b"IHDR" + struct.pack(">IIBBBBB", 256, 1, 16, 2, 0, 0, 0)
    row = np.repeat(levels.reshape(-1, 1), 3, axis=1).astype(">u2").tobytes()
    coloured = png_of(body, b"IDAT" + zlib.compress(b"\0" + row), b"IEND")
    pixels = np.asarray(read_image_bytes(coloured, "x"))
    assert np.array_equal(pixels[0, :, 2], levels.reshape(-1) >> 8)


STORED = {
    "L.png": colours().convert("L"),
    "LA.png": colours().convert("LA"),
    "P.png": colours().convert("P"),
    "RGBA.png": colours().convert("RGBA"),
    "1.png": colours().convert("1"),
    "16 bits.png": Image.fromarray(np.arange(480, dtype=np.uint16).reshape(24, 20) * 130),
    "CMYK.jpg": colours().convert("CMYK"),
    "L.jpg": colours().convert("L"),
    "RGBA.webp": colours().convert("RGBA"),
}


@pytest.mark.parametrize("name", STORED)
def test_the_device_sees_every_kind_of_file_as_the_toolkit_does(tmp_path: Path, name: str) -> None:
    from hiertk.data import ImageSet

    path = tmp_path / name
    STORED[name].save(path)
    device = preprocess(read_image(path), INFO)
    with Image.open(path) as stored:
        tensors, _ = ImageSet("stored", ("a",), [(stored, 0)]).tensors([0], INFO)
    assert np.array_equal(device, tensors[0].numpy())
    assert device.std() > 0.1


@pytest.mark.parametrize("name", [name for name in STORED if name != "16 bits.png"])
def test_the_toolkits_own_folders_give_the_same(tmp_path: Path, name: str) -> None:
    from hiertk.data import load

    path = tmp_path / "set" / "train" / "a" / name
    path.parent.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    STORED[name].save(path, exif=exif)
    tensors, _ = load(f"folder:{tmp_path / 'set'}", "train").tensors([0], INFO)
    assert np.array_equal(preprocess(read_image(path), INFO), tensors[0].numpy())


def test_threads_read_at_the_same_time_without_warnings_or_mixing(tmp_path: Path) -> None:
    files = [write_png(tmp_path / f"{size}.png", (size, size)) for size in range(8, 40)]
    wrong: list[int] = []

    def read_all() -> None:
        wrong.extend(p.stem != str(read_image(p).width) for p in files)

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [False] * 4 * len(files)


def test_the_largest_image_takes_no_more_than_its_pixels(tmp_path: Path) -> None:
    # One colour: a small file that unpacks to 50 MB.
    side = 4096
    body = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = bytes(3 * side + 1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    (tmp_path / "large.png").write_bytes(png_of(body, b"IDAT" + data, b"IEND"))
    script = (
        "import resource, sys; from pathlib import Path; from edge_parts import make_manifest\n"
        "from hiertk_edge.images import read_image, resize\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "resize(read_image(Path(sys.argv[1])), make_manifest().input)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "large.png")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) << 10 < 3 * side * side + (24 << 20)
