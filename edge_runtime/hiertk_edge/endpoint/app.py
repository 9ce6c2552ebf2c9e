"""The endpoint's application: routes, page and guard put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hiertk_protocol.errors import HiertkError
from hiertk_protocol.host.problems import Problems
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from hiertk_edge.endpoint.bodies import Bodies
from hiertk_edge.endpoint.camera_routes import camera_routes
from hiertk_edge.endpoint.guard import Guard, refusal_response
from hiertk_edge.endpoint.page import page_response
from hiertk_edge.endpoint.record import Camera, RefusedError
from hiertk_edge.endpoint.routes import image_routes, view_routes
from hiertk_edge.endpoint.work import Work
from hiertk_edge.endpoint.workers import Workers


@dataclass(frozen=True)
class Parts:
    """What the routes are about. class_counts: images in the rehearsal memory, by slot."""

    work: Work
    status: Callable[[], Mapping[str, object]]
    problems: Problems
    token: str
    camera: Camera | None
    class_counts: Callable[[], Mapping[int, int]] | None


def make_app(parts: Parts, workers: Workers) -> ASGIApp:
    """Return the application."""
    routes = [
        *image_routes(parts.work, workers, Bodies()),
        *view_routes(parts.work, workers, parts.status, parts.class_counts),
        Route("/", page_response, methods=["GET"]),
    ]
    if parts.camera is not None:
        routes += camera_routes(parts.camera, parts.work, workers)
    app = Starlette(
        routes=routes,
        exception_handlers={
            RefusedError: _refused,
            HiertkError: _unavailable,
            HTTPException: _unknown,
            Exception: _failed,
        },
    )
    return Guard(app, token=parts.token, open_paths={"/"}, problems=parts.problems)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return refusal_response(error)


async def _unavailable(_request: Request, error: Exception) -> Response:
    return refusal_response(RefusedError(503, str(error)))


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path}"[:200]
    return refusal_response(
        RefusedError(
            error.status_code, f"nothing answers to {asked}: docs/endpoint.md lists what does"
        )
    )


async def _failed(_request: Request, _error: Exception) -> Response:
    return refusal_response(RefusedError(500, "the device failed to answer: its status says more"))
