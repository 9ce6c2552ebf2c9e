"""What can be asked of the device's own camera, one function per path."""

from typing import Annotated

from fastapi import APIRouter, Query

from hiertk_edge.endpoint.answers import (
    CameraAnswer,
    PredictionAnswer,
    TeachAnswer,
    prediction_answer,
)
from hiertk_edge.endpoint.record import Camera, Frame, RefusedError
from hiertk_edge.endpoint.routes import DEFAULT_TOP, Label, Top
from hiertk_edge.endpoint.work import Work
from hiertk_edge.endpoint.workers import Workers

OLDEST_S = 5.0
_RETRY_S = 1
_DEFAULT_FRAMES = 20


def camera_routes(camera: Camera, work: Work, workers: Workers) -> APIRouter:
    """Return the routes of a device with a camera."""
    router = APIRouter(prefix="/camera")

    @router.get("")
    async def show() -> CameraAnswer:
        """Return what is known of the newest frame."""
        frame = _newest(camera)
        return CameraAnswer(age_s=frame.age_s, size=len(frame.pixels))

    @router.post("/predictions")
    async def predict(top: Top = DEFAULT_TOP) -> PredictionAnswer:
        """Answer for what the camera sees now."""
        frame = _newest(camera)
        if frame.age_s > OLDEST_S:
            raise RefusedError(
                503,
                f"the camera's newest frame is {frame.age_s:.0f} s old: look after the camera",
                retry_after_s=_RETRY_S,
            )
        return prediction_answer(await workers.run(work.predict, frame.pixels), top)

    @router.post("/teach", status_code=202)
    async def teach(
        label: Label, frames: Annotated[int, Query(ge=1, le=1000)] = _DEFAULT_FRAMES
    ) -> TeachAnswer:
        """Take the next frames as labelled images; a second call replaces the first."""
        taken = await workers.run(camera.teach, work.slot_of(label), frames)
        return TeachAnswer(frames=taken, label=label)

    return router


def _newest(camera: Camera) -> Frame:
    frame = camera.newest()
    if frame is None:
        raise RefusedError(503, "the camera has given no frame yet", retry_after_s=_RETRY_S)
    return frame
