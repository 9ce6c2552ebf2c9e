"""The FastAPI application: routes, dashboard and guard put together."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from hiertk_protocol.errors import HiertkError

from hiertk_cloud.api.class_routes import class_routes
from hiertk_cloud.api.events import Broadcaster
from hiertk_cloud.api.guard import Guard
from hiertk_cloud.api.history import History
from hiertk_cloud.api.routes import (
    control_routes,
    curve_routes,
    event_routes,
    health_routes,
    view_routes,
)
from hiertk_cloud.views.view import ServiceView

UPLOAD_PATH = "/api/models/merged"  # of api/models.py, which a service without models has not
DASHBOARD = Path(__file__).parent.parent / "dashboard"


def make_app(
    view: ServiceView,
    history: History,
    broadcaster: Broadcaster,
    *,
    token: str | None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """Return the application. routers: further routes, below /api and behind the token."""
    app = FastAPI(
        title="HierTK cloud service",
        description="One deployment: what it has learned, from whom, and whether all is well.",
        version=version("hiertk"),
        # Their pages load scripts from another host; the schema itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
    )
    for router in (
        health_routes(view, history),
        view_routes(view),
        class_routes(view, history),
        curve_routes(history),
        control_routes(view),
        event_routes(broadcaster),
        *routers,
    ):
        app.include_router(router)
    app.mount("/", StaticFiles(directory=DASHBOARD, html=True))
    app.add_exception_handler(HiertkError, _unavailable)
    app.add_middleware(
        Guard,
        token=token,
        open_paths={"/health", *_dashboard_paths()},
        upload_paths={UPLOAD_PATH},
    )
    return app


def _dashboard_paths() -> set[str]:
    files = [path for path in DASHBOARD.rglob("*") if path.is_file()]
    return {"/", *(f"/{path.relative_to(DASHBOARD).as_posix()}" for path in files)}


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=503)
