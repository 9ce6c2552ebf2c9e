"""A camera for the tests of the endpoint: a video file, which they write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from edge_parts import CLASSES
from edge_runtime.endpoint.endpoint_parts import INFO, ListIntake, Serving, pixels_of, serving
from hiertk_edge.sources import open_stream
from hiertk_edge.sources.camera import Camera
from hiertk_protocol.host.problems import Problems


def write_video(path: Path, name: str, frames: int = 60) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (32, 32))
    for number in range(frames):
        rgb = np.kron(pixels_of(name, number), np.ones((2, 2, 1), np.uint8))
        writer.write(rgb[..., ::-1].copy())
    writer.release()
    return path


@contextmanager
def with_video(folder: Path, frames: int = 60) -> Iterator[Serving]:
    """An endpoint beside a camera that shows something green for two seconds."""
    intake = ListIntake()
    video = write_video(folder / "clip.avi", "green", frames)
    camera = open_stream(
        f"camera:{video}", CLASSES, INFO, state=folder, problems=Problems(lambda *_: None)
    )
    assert isinstance(camera, Camera)
    with serving(folder, intake=intake, camera=camera) as served:
        camera.start(intake)
        try:
            yield served
        finally:
            camera.stop()
