"""What can be asked about classes, one function per path."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from hiertk_protocol.manifest import MAX_CLASSES

from hiertk_cloud.api.class_marks import ClassCurves
from hiertk_cloud.api.class_records import ClassesView, ConfusionView, classes_of, confusion_of
from hiertk_cloud.api.history import History
from hiertk_cloud.views.view import ServiceView

_LARGEST_VERSION = (1 << 32) - 1


def class_routes(view: ServiceView, history: History) -> APIRouter:
    """Return what shows how well both exits know each class."""
    router = APIRouter(prefix="/api", tags=["view"])

    @router.get("/classes")
    async def classes() -> ClassesView:
        """Return the class map, and each class's held-out accuracy, best and forgetting."""
        return classes_of(
            view.classes(),
            view.deployment().class_slots,
            view.evaluation(),
            history.classes.marks(),
        )

    @router.get("/classes/{slot}/history", responses={404: {}})
    async def class_history(
        slot: int, since: Annotated[int | None, Query(ge=1, le=_LARGEST_VERSION)] = None
    ) -> ClassCurves:
        """Return a class's curves; of the class that had the slot last, or `since` a version."""
        found = history.classes.curves(slot, since) if 0 <= slot < MAX_CLASSES else None
        entry = view.classes().newest.by_slot.get(slot)
        if found is None and entry is not None and since in {None, entry.since}:
            return ClassCurves(slot=slot, since=entry.since, name=entry.name)  # it just came
        if found is None:
            raise HTTPException(404, f"no class has slot {slot} since version {since or 'any'}")
        return found

    @router.get("/confusion")
    async def confusion() -> ConfusionView:
        """Return both exits' confusion matrices of the newest held-out evaluation."""
        return confusion_of(view.classes(), view.evaluation())

    return router
