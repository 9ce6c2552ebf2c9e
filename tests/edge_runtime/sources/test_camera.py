"""Cameras, on real video files: frames to learn, the newest for predictions, and trouble."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from edge_parts import make_manifest
from hiertk_edge.images import Pixels, resize
from hiertk_edge.sources.camera import Camera, without_secret
from hiertk_edge.sources.capture import check_library, is_file, open_capture
from hiertk_protocol.errors import ConfigError
from PIL import Image
from source_parts import Basket, Told, wait_for

cv2 = pytest.importorskip("cv2")
check_library("0")  # keeps FFmpeg quiet, as long as it comes before the first video

INFO = make_manifest().input
Open = Callable[..., Camera]


def write_video(path: Path, colours: list[tuple[int, int, int]], *, fps: int = 50) -> Path:
    """Write one frame of each RGB colour."""
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, (64, 48))
    for red, green, blue in colours:
        writer.write(np.full((48, 64, 3), (blue, green, red), np.uint8))
    writer.release()
    return path


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def camera(told: Told) -> Iterator[Open]:
    opened = []

    def open_camera(place: object, *, every_s: float = 0.01, label: str | None = None) -> Camera:
        stream = Camera(str(place), INFO, problems=told.problems, every_s=every_s, label=label)
        opened.append(stream)
        return stream

    yield open_camera
    for stream in opened:
        stream.stop()


def near(pixels: Pixels, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixels.astype(int).mean(axis=(0, 1)) - colour).max() < 8)


def test_all_frames_of_a_labelled_video_are_taken_in_rgb_and_then_it_is_over(
    camera: Open, tmp_path: Path, told: Told
) -> None:
    colours = [(200, 30, 10), (10, 200, 30), (30, 10, 200)] * 3
    basket = Basket()
    stream = camera(write_video(tmp_path / "clip.avi", colours), label="green")
    stream.start(basket)
    wait_for(lambda: told.count("the video is over") == 1)
    assert basket.slots == [1] * 9
    pairs = zip(basket.samples, colours, strict=True)
    assert all(near(sample.pixels, colour) for sample, colour in pairs)
    assert stream.counts.taken == 9
    newest = stream.newest()
    assert newest is not None
    assert near(newest.pixels, colours[-1])


def test_frames_are_resized_as_a_saved_one_would_be(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48)
    )
    writer.write(noise)
    writer.release()
    capture = open_capture(str(path))
    assert capture is not None
    assert capture.advance()
    image = capture.image()
    assert image is not None
    capture.close()
    image.save(tmp_path / "frame.png")
    with Image.open(tmp_path / "frame.png") as saved:
        assert np.array_equal(resize(image, INFO), resize(saved, INFO))
    reader = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    _, plain = reader.read()
    reader.release()
    assert np.array_equal(np.asarray(image), plain[..., ::-1])


def test_the_rate_thins_out_the_frames(camera: Open, tmp_path: Path, told: Told) -> None:
    basket = Basket()
    video = write_video(tmp_path / "clip.avi", [(9, 9, 9)] * 40, fps=100)
    camera(video, every_s=0.2, label="red").start(basket)
    wait_for(lambda: told.count("the video is over") == 1)
    assert 2 <= len(basket.samples) <= 10


def test_without_a_label_nothing_is_learned_until_somebody_teaches(
    camera: Open, tmp_path: Path, told: Told
) -> None:
    basket = Basket()
    stream = camera(write_video(tmp_path / "clip.avi", [(200, 0, 0)] * 60, fps=50))
    assert stream.newest() is None
    stream.start(basket)
    wait_for(lambda: stream.newest() is not None)
    assert basket.samples == []
    assert stream.teach("blue", 1000) == 1000
    assert stream.teach("red", 3) == 3  # replaces the first
    wait_for(lambda: told.count("the video is over") == 1)
    assert len(basket.samples) <= 3 + basket.slots.count(2)
    assert basket.slots.count(0) == 3


@pytest.mark.parametrize("frames", [0, -1, 1001])
def test_what_is_taught_is_bounded(camera: Open, tmp_path: Path, frames: int) -> None:
    stream = camera(write_video(tmp_path / "clip.avi", [(0, 0, 0)] * 2))
    with pytest.raises(ConfigError, match="1 to 1000"):
        stream.teach("red", frames)


def test_the_newest_frame_ages(camera: Open, tmp_path: Path, told: Told) -> None:
    stream = camera(write_video(tmp_path / "clip.avi", [(0, 0, 0)] * 2))
    stream.start(Basket())
    wait_for(lambda: told.count("the video is over") == 1)
    first = stream.newest()
    time.sleep(0.1)
    second = stream.newest()
    assert first is not None
    assert second is not None
    assert second.age_s >= first.age_s + 0.1


def test_a_video_waits_while_the_intake_has_no_room(
    camera: Open, tmp_path: Path, told: Told
) -> None:
    basket = Basket(room=2)
    stream = camera(write_video(tmp_path / "clip.avi", [(0, 99, 0)] * 6), label="green")
    stream.start(basket)
    wait_for(lambda: len(basket.samples) == 2)
    time.sleep(0.2)
    basket.room = 100
    wait_for(lambda: told.count("the video is over") == 1)
    assert (stream.counts.taken, stream.counts.dropped) == (6, 0)


def test_a_video_that_is_not_there_yet_is_told_once_and_opened_later(
    camera: Open, tmp_path: Path, told: Told
) -> None:
    basket = Basket()
    camera(tmp_path / "clip.avi", label="red").start(basket)
    wait_for(lambda: told.count("no frames") == 1)
    write_video(tmp_path / "new.avi", [(0, 0, 99)] * 3).rename(tmp_path / "clip.avi")
    wait_for(lambda: len(basket.samples) == 3)
    wait_for(lambda: told.count("the video is over") == 1)
    assert told.count("no frames") == 1


def test_what_is_no_video_is_no_more_than_a_problem(
    camera: Open, tmp_path: Path, told: Told, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write_video(tmp_path / "clip.avi", [(99, 99, 99)] * 20).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) * 4 // 5])
    (tmp_path / "text.avi").write_text("no video")
    cut, text = (
        camera(tmp_path / "cut.avi", label="red"),
        camera(tmp_path / "text.avi", label="red"),
    )
    basket = Basket()
    cut.start(basket)
    text.start(basket)
    wait_for(lambda: told.count("cut.avi: the video is over") == 1)
    wait_for(lambda: told.count("text.avi: no frames") == 1)
    assert 0 < len(basket.samples) < 20
    assert capfd.readouterr().err == ""


def test_a_camera_that_is_not_there_does_not_hold_up_the_end(camera: Open, told: Told) -> None:
    stream = camera("97")
    stream.start(Basket())
    wait_for(lambda: told.count("camera:97: no frames") == 1)
    began = time.monotonic()
    stream.stop()
    assert time.monotonic() - began < 2


def test_what_is_missing_says_what_to_install(
    camera: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="apt install python3-picamera2"):
        camera("picamera2")
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"hiertk\[camera\]"):
        camera("0")


@pytest.mark.parametrize(
    ("place", "is_video"),
    [("0", False), ("/dev/video0", False), ("rtsp://x/y", False), ("picamera2", False),
     ("clip.avi", True), ("/a/clip.avi", True)],
)  # fmt: skip
def test_only_files_end(place: str, is_video: bool) -> None:
    assert is_file(place) == is_video


def test_no_message_names_the_password_of_a_camera(camera: Open, told: Told) -> None:
    assert without_secret("rtsp://me:pw@cam/a?token=t") == "rtsp://cam/a"
    assert without_secret("clip.avi") == "clip.avi"
    stream = camera("rtsp://me:pw@127.0.0.1:9/a?token=t")
    stream.start(Basket())
    wait_for(lambda: told.count("no frames") == 1)
    assert told.lines[0].startswith("camera:rtsp://127.0.0.1:9/a: ")
