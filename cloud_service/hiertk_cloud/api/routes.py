"""What can be asked, one function per path.

They run in the event loop itself: no answer of the view takes more than milliseconds.
"""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import StreamingResponse

from hiertk_cloud.api.events import Broadcaster, EventResponse
from hiertk_cloud.api.history import Curves, History
from hiertk_cloud.api.metrics import CONTENT_TYPE, metrics_text
from hiertk_cloud.api.records import (
    Readiness,
    StatusView,
    readiness_of,
    status_of,
)
from hiertk_cloud.views.view import (
    CheckpointView,
    DeploymentView,
    DeviceView,
    HealthView,
    ServiceView,
)


def health_routes(view: ServiceView, history: History) -> APIRouter:
    """Return what a supervisor and Prometheus ask for."""
    router = APIRouter(tags=["health"])

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process lives; needs no token."""
        return {"status": "alive"}

    @router.get("/ready", responses={503: {"model": Readiness}})
    async def ready(response: Response) -> Readiness:
        """Say whether the service may be counted on; 503 with the reasons if not."""
        readiness = readiness_of(view.health())
        response.status_code = 200 if readiness.is_ready else 503
        return readiness

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Answer a scrape of Prometheus, in its text format."""
        return Response(metrics_text(view, history.classes.marks()), media_type=CONTENT_TYPE)

    return router


def view_routes(view: ServiceView) -> APIRouter:
    """Return what shows the service and its devices."""
    router = APIRouter(prefix="/api", tags=["view"])

    @router.get("/deployment")
    async def deployment() -> DeploymentView:
        """Return what is served."""
        return view.deployment()

    @router.get("/status")
    async def status() -> StatusView:
        """Return progress, measures, counts and problems."""
        return status_of(view.snapshot(), view.health())

    @router.get("/devices")
    async def devices() -> list[DeviceView]:
        """Return every device that ever sent something, by name."""
        return view.devices()

    @router.get("/devices/{name}", responses={404: {}})
    async def device(name: str) -> DeviceView:
        """Return one device."""
        found = next((one for one in view.devices() if one.name == name), None)
        if found is None:
            raise HTTPException(404, f"no device {name[:80]!r} has sent anything")
        return found

    @router.get("/checkpoint")
    async def checkpoint() -> CheckpointView | None:
        """Return the newest checkpoint; null before the first."""
        return view.checkpoint()

    return router


def curve_routes(history: History) -> APIRouter:
    """Return what shows how both exits came to be what they are."""
    router = APIRouter(prefix="/api", tags=["view"])

    @router.get("/history")
    async def curves(after: Annotated[int, Query(ge=0, lt=1 << 62)] = 0) -> Curves:
        """Return the curves; with `after`, the points after that row."""
        return history.rows(after)

    return router


def control_routes(view: ServiceView) -> APIRouter:
    """Return what changes the service; asking twice is harmless."""
    router = APIRouter(prefix="/api", tags=["control"])

    @router.post("/pause")
    async def pause() -> HealthView:
        """Stop training until resumed; batches are still stored and acknowledged."""
        view.pause()
        return view.health()

    @router.post("/resume")
    async def resume() -> HealthView:
        """Train again."""
        view.resume()
        return view.health()

    return router


def event_routes(broadcaster: Broadcaster) -> APIRouter:
    """Return the stream that the dashboard watches."""
    router = APIRouter(prefix="/api", tags=["view"])

    @router.get("/events", response_class=StreamingResponse, responses={503: {}})
    async def events() -> EventResponse:
        """Stream one frame a second as server-sent events; 503 if too many watch already."""
        if broadcaster.is_full:
            raise HTTPException(503, "too many watch already: close another dashboard")
        return EventResponse(broadcaster)

    return router
