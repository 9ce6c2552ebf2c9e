import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from edge_parts import make_manifest
from hiertk_edge.images import preprocess, read_image
from hiertk_protocol.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

INFO = make_manifest().input


def write_png(path: Path, size: tuple[int, int], mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (body, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


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
