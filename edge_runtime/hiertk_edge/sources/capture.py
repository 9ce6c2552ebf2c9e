"""Frames of a camera or a video: OpenCV's captures and Picamera2 behind one interface.

Neither library is imported before a camera is opened.
"""

import importlib
import os
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from hiertk_protocol.errors import ConfigError
from PIL import Image

from hiertk_edge.images import MAX_PIXELS

PICAMERA2 = "picamera2"
_TIMEOUT_MS = 10_000
_PICAMERA2_SIZE = (640, 480)


class Capture(Protocol):
    """An open camera or video."""

    seconds_per_frame: float
    """How long to wait between frames; 0: the camera itself gives the pace."""

    def advance(self) -> bool:
        """Go on to the next frame; False: there is none, the camera is gone or the video over."""

    def image(self) -> Image.Image | None:
        """Return the frame as RGB; None if it is damaged."""

    def close(self) -> None:
        """Give the camera back."""


def open_capture(place: str) -> Capture | None:
    """Open a device number, a file, a URL, or `picamera2`; None if it cannot be opened now.

    Raises ConfigError if the library is not installed.
    """
    if place == PICAMERA2:
        return _open_picamera2()
    return _open_opencv(place)


def check_library(place: str) -> None:
    """Raise ConfigError if what opens this camera is not installed."""
    if place == PICAMERA2:
        _picamera2_class()
    else:
        _cv2()


def is_file(place: str) -> bool:
    """Return whether this is a video that ends, not a camera or a URL."""
    return not (
        place.isdecimal() or place == PICAMERA2 or "://" in place or place.startswith("/dev/")
    )


class OpenCvCapture:
    """A device, file or URL that OpenCV reads."""

    def __init__(self, capture: Any, cv2: ModuleType, *, has_own_pace: bool) -> None:
        self._capture = capture
        rate = 0.0 if has_own_pace else float(capture.get(cv2.CAP_PROP_FPS))
        self.seconds_per_frame = 1 / rate if 0 < rate < 1000 else 0.0

    def advance(self) -> bool:
        """Take the next frame from the driver, without converting it."""
        return bool(self._capture.grab())

    def image(self) -> Image.Image | None:
        """Return the frame that was taken last."""
        is_read, frame = self._capture.retrieve()
        if not is_read or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            return None
        return Image.fromarray(np.ascontiguousarray(frame[..., ::-1]))  # OpenCV's order is BGR

    def close(self) -> None:
        """Release the device or file."""
        self._capture.release()


class Picamera2Capture:
    """A Raspberry Pi's camera, as Picamera2's manual describes it."""

    seconds_per_frame = 0.0

    def __init__(self, camera: Any) -> None:
        self._camera = camera

    def advance(self) -> bool:
        """Wait for the next frame."""
        try:
            self._camera.capture_metadata()
        except RuntimeError:
            return False
        return True

    def image(self) -> Image.Image | None:
        """Return a frame; the array of the format "BGR888" is in the order R, G, B."""
        try:
            return Image.fromarray(self._camera.capture_array("main"))
        except RuntimeError:
            return None

    def close(self) -> None:
        """Stop the camera and give it back."""
        self._camera.stop()
        self._camera.close()


def _open_opencv(place: str) -> OpenCvCapture | None:
    cv2 = _cv2()
    try:
        if place.isdecimal():
            capture = cv2.VideoCapture(int(place))
        elif place.startswith("/dev/"):
            capture = cv2.VideoCapture(place, cv2.CAP_V4L2)
        else:
            # Named, because of all readers a build may have one takes a text for a program to run.
            limits = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS,
            ]  # fmt: skip
            capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, limits)
    except cv2.error:
        return None
    width, height = (
        capture.get(cv2.CAP_PROP_FRAME_WIDTH),
        capture.get(cv2.CAP_PROP_FRAME_HEIGHT),
    )
    if not capture.isOpened() or width * height > MAX_PIXELS:
        capture.release()
        return None
    return OpenCvCapture(capture, cv2, has_own_pace=not is_file(place))


def _open_picamera2() -> Picamera2Capture | None:
    camera_class = _picamera2_class()
    try:
        camera = camera_class()
        main = {"size": _PICAMERA2_SIZE, "format": "BGR888"}
        camera.configure(camera.create_video_configuration(main=main))
        camera.start()
    except (IndexError, RuntimeError):  # no camera is connected, or another program holds it
        return None
    return Picamera2Capture(camera)


def _cv2() -> ModuleType:
    # Read when OpenCV and its FFmpeg are loaded: a broken stream would print without end.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise ConfigError("camera: OpenCV is not there: pip install 'hiertk[camera]'") from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    cv2.setNumThreads(1)
    return cv2


def _picamera2_class() -> Any:
    try:
        return importlib.import_module("picamera2").Picamera2
    except ImportError as error:
        raise ConfigError(
            "camera:picamera2: Picamera2 is not there: apt install python3-picamera2, in an "
            "environment made with --system-site-packages; or use camera:0"
        ) from error
