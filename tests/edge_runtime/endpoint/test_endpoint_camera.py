"""What can be asked of the device's own camera, here a real video file."""

import time
from pathlib import Path

import pytest
from edge_runtime.endpoint.camera_parts import with_video
from edge_runtime.endpoint.endpoint_parts import INFO, pixels_of, serving
from hiertk_edge.endpoint.camera_routes import OLDEST_S
from hiertk_edge.endpoint.record import Camera, Frame
from hiertk_edge.sources.camera import Frame as VideoFrame
from mqtt_client import wait_until


def test_it_shows_predicts_and_teaches_what_the_camera_sees(tmp_path: Path) -> None:
    with with_video(tmp_path) as served, served.client() as client:
        wait_until(lambda: client.get("/camera").status_code == 200)
        shown = client.get("/camera").json()
        assert shown["size"] == INFO.size
        assert 0 <= shown["age_s"] < OLDEST_S
        seen = client.post("/camera/predictions").json()
        assert seen["class"] == "green"
        corrected = client.post("/corrections", json={"prediction": seen["id"], "label": "blue"})
        assert corrected.status_code == 202
        assert served.intake.labels() == ["blue"]
        taught = client.post("/camera/teach", params={"label": "green", "frames": 3})
        assert (taught.status_code, taught.json()) == (202, {"frames": 3, "class": "green"})
        wait_until(lambda: len(served.intake.samples) == 4)
        assert served.intake.labels() == ["blue", "green", "green", "green"]


def test_unfit_lessons_are_refused(tmp_path: Path) -> None:
    with with_video(tmp_path) as served, served.client() as client:
        for query in ("label=puce", "frames=3", "label=red&frames=0", "label=red&frames=1001"):
            refused = client.post(f"/camera/teach?{query}")
            assert refused.status_code == 422
            assert set(refused.json()) == {"error"}
        assert served.intake.samples == []


class StoppedCamera:
    """A camera that gave one frame at a time that is given, or none."""

    def __init__(self, taken_at: float | None) -> None:
        self._taken_at = taken_at

    def newest(self) -> Frame | None:
        if self._taken_at is None:
            return None
        return VideoFrame(pixels_of("red"), time.monotonic() - self._taken_at)

    def teach(self, label: str, frames: int) -> int:
        raise AssertionError(f"{frames} frames of class {label}: nobody asked for them")


@pytest.mark.parametrize("age_s", [None, OLDEST_S + 1])
def test_a_camera_that_gives_nothing_is_told_rather_than_an_old_answer(
    tmp_path: Path, age_s: float | None
) -> None:
    camera: Camera = StoppedCamera(None if age_s is None else time.monotonic() - age_s)
    with serving(tmp_path, camera=camera) as served, served.client() as client:
        refused = client.post("/camera/predictions")
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert "camera" in refused.json()["error"]
        assert served.endpoint.counts.predictions == 0
