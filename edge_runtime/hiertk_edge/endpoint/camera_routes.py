"""What can be asked of the device's own camera, one function per path."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hiertk_edge.endpoint.answers import (
    CameraAnswer,
    TeachAnswer,
    answer_response,
    prediction_answer,
)
from hiertk_edge.endpoint.queries import TeachQuery, TopQuery, read_query
from hiertk_edge.endpoint.record import Camera, Frame, RefusedError
from hiertk_edge.endpoint.work import Work
from hiertk_edge.endpoint.workers import Workers

OLDEST_S = 5.0
_RETRY_S = 1


def camera_routes(camera: Camera, work: Work, workers: Workers) -> list[Route]:
    """Return the routes of a device with a camera."""

    async def show(_request: Request) -> Response:
        """Return what is known of the newest frame."""
        frame = _newest(camera)
        return answer_response(CameraAnswer(age_s=frame.age_s, size=len(frame.pixels)))

    async def predict(request: Request) -> Response:
        """Answer for what the camera sees now."""
        query = read_query(TopQuery, request)
        frame = _newest(camera)
        if frame.age_s > OLDEST_S:
            raise RefusedError(
                503,
                f"the camera's newest frame is {frame.age_s:.0f} s old: look after the camera",
                retry_after_s=_RETRY_S,
            )
        prediction = await workers.run(work.predict, frame.pixels)
        return answer_response(prediction_answer(prediction, query.top))

    async def teach(request: Request) -> Response:
        """Take the next frames as labelled images; a second call replaces the first."""
        query = read_query(TeachQuery, request)
        work.check_label(query.label)
        taken = await workers.run(camera.teach, query.label, query.frames)
        return answer_response(TeachAnswer(frames=taken, label=query.label), 202)

    return [
        Route("/camera", show, methods=["GET"]),
        Route("/camera/predictions", predict, methods=["POST"]),
        Route("/camera/teach", teach, methods=["POST"]),
    ]


def _newest(camera: Camera) -> Frame:
    frame = camera.newest()
    if frame is None:
        raise RefusedError(503, "the camera has given no frame yet", retry_after_s=_RETRY_S)
    return frame
