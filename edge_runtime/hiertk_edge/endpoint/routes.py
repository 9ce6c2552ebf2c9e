"""What can be asked, one function per path."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from hiertk_edge.endpoint.answers import (
    ClassAnswer,
    ClassesAnswer,
    CorrectionAnswer,
    CorrectionRequest,
    PredictionAnswer,
    StoredAnswer,
    prediction_answer,
)
from hiertk_edge.endpoint.bodies import MAX_IMAGE_BYTES, MAX_JSON_BYTES, Bodies, refuse_form
from hiertk_edge.endpoint.record import RefusedError
from hiertk_edge.endpoint.work import Prediction, Work
from hiertk_edge.endpoint.workers import Workers

Label = Annotated[str, Query(min_length=1, max_length=200)]
Top = Annotated[int, Query(ge=1, le=4096)]
DEFAULT_TOP = 5


def image_routes(work: Work, workers: Workers, bodies: Bodies) -> APIRouter:
    """Return what takes images, and what is said of them."""
    router = APIRouter()

    @router.post("/images", status_code=202)
    async def store(request: Request, label: Label) -> StoredAnswer:
        """Take a labelled image: the body is the file."""
        refuse_form(request)
        slot = work.slot_of(label)
        async with bodies.whole(request, MAX_IMAGE_BYTES) as body:
            await workers.run(work.store, body, slot)
        return StoredAnswer(label=label)

    @router.post("/predictions")
    async def predict(request: Request, top: Top = DEFAULT_TOP) -> PredictionAnswer:
        """Answer for an image: the body is the file."""
        refuse_form(request)
        async with bodies.whole(request, MAX_IMAGE_BYTES) as body:
            pixels = await workers.run(work.decode, body)
        prediction: Prediction = await workers.run(work.predict, pixels)
        return prediction_answer(prediction, top)

    @router.post("/corrections", status_code=202)
    async def correct(request: Request) -> CorrectionAnswer:
        """Take the label of an image that was predicted; the same one again is harmless."""
        async with bodies.whole(request, MAX_JSON_BYTES) as body:
            correction = _correction(body)
        right = await workers.run(work.correct, correction.prediction, correction.label)
        counts = work.counts
        return CorrectionAnswer(
            label=correction.label,
            right=right,
            corrections=counts.corrections,
            right_share=counts.right_share,
        )

    return router


def view_routes(
    work: Work,
    workers: Workers,
    status: Callable[[], Mapping[str, object]],
    class_counts: Callable[[], Sequence[int]] | None,
) -> APIRouter:
    """Return what shows the device."""
    router = APIRouter()

    @router.get("/status", response_class=Response)
    async def show_status() -> Response:
        """Return what `hiertk-edge status` shows; null where nothing was measured yet."""
        shown = dict(await workers.run(status))
        return Response(to_json(shown, inf_nan_mode="null"), media_type="application/json")

    @router.get("/classes")
    async def classes() -> ClassesAnswer:
        """Return the classes, with their numbers of images."""
        remembered = None if class_counts is None else await workers.run(class_counts)
        posted = work.posted
        return ClassesAnswer(
            classes=tuple(
                ClassAnswer(
                    name=name,
                    slot=slot,
                    posted=posted[slot],
                    remembered=None if remembered is None else remembered[slot],
                )
                for slot, name in enumerate(work.class_names)
            )
        )

    return router


def _correction(body: bytes) -> CorrectionRequest:
    try:
        return CorrectionRequest.model_validate_json(body)
    except ValidationError as error:
        raise RefusedError(
            422, 'the body is no correction: send {"prediction": "ID", "label": "NAME"} as JSON'
        ) from error
