"""What can be asked, one function per path."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hiertk_edge.endpoint.answers import (
    ClassAnswer,
    ClassesAnswer,
    CorrectionAnswer,
    CorrectionRequest,
    NewClassAnswer,
    NewClassRequest,
    StoredAnswer,
    answer_response,
    prediction_answer,
)
from hiertk_edge.endpoint.bodies import MAX_IMAGE_BYTES, MAX_JSON_BYTES, Bodies, refuse_form
from hiertk_edge.endpoint.queries import LabelQuery, TopQuery, read_query
from hiertk_edge.endpoint.record import RefusedError
from hiertk_edge.endpoint.work import Work
from hiertk_edge.endpoint.workers import Workers

_Body = TypeVar("_Body", bound=BaseModel)


def image_routes(work: Work, workers: Workers, bodies: Bodies) -> list[Route]:
    """Return what takes images, and what is said of them."""

    async def store(request: Request) -> Response:
        """Take a labelled image: the body is the file."""
        query = read_query(LabelQuery, request)
        refuse_form(request)
        work.check_label(query.label)
        async with bodies.whole(request, MAX_IMAGE_BYTES) as body:
            await workers.run(work.store, body, query.label)
        return answer_response(StoredAnswer(label=query.label), 202)

    async def predict(request: Request) -> Response:
        """Answer for an image: the body is the file."""
        query = read_query(TopQuery, request)
        refuse_form(request)
        async with bodies.whole(request, MAX_IMAGE_BYTES) as body:
            pixels = await workers.run(work.decode, body)
        prediction = await workers.run(work.predict, pixels)
        return answer_response(prediction_answer(prediction, query.top))

    async def correct(request: Request) -> Response:
        """Take the label of an image that was predicted; the same one again is harmless."""
        async with bodies.whole(request, MAX_JSON_BYTES) as body:
            correction = _read(
                CorrectionRequest,
                body,
                'correction: send {"prediction": "ID", "label": "NAME"} as JSON',
            )
        right = await workers.run(work.correct, correction.prediction, correction.label)
        counts = work.counts
        answer = CorrectionAnswer(
            label=correction.label,
            right=right,
            corrections=counts.corrections,
            right_share=counts.right_share,
        )
        return answer_response(answer, 202)

    async def name(request: Request) -> Response:
        """Open a class by its name; naming one that there is changes nothing."""
        async with bodies.whole(request, MAX_JSON_BYTES) as body:
            asked = _read(NewClassRequest, body, 'new class: send {"name": "NAME"} as JSON')
        named = await workers.run(work.name, asked.name)
        answer = NewClassAnswer(name=named.name, slot=named.slot, provisional=named.is_provisional)
        return answer_response(answer, 202)

    return [
        Route("/classes", name, methods=["POST"]),
        Route("/images", store, methods=["POST"]),
        Route("/predictions", predict, methods=["POST"]),
        Route("/corrections", correct, methods=["POST"]),
    ]


def view_routes(
    work: Work,
    workers: Workers,
    status: Callable[[], Mapping[str, object]],
    class_counts: Callable[[], Mapping[int, int]] | None,
) -> list[Route]:
    """Return what shows the device."""

    async def show_status(_request: Request) -> Response:
        """Return what `hiertk-edge status` shows; null where nothing was measured yet."""
        shown = dict(await workers.run(status))
        return Response(to_json(shown, inf_nan_mode="null"), media_type="application/json")

    async def show_classes(_request: Request) -> Response:
        """Return the classes, with their numbers of images."""
        remembered = None if class_counts is None else await workers.run(class_counts)
        posted = work.posted
        classes = tuple(
            ClassAnswer(
                name=one.name,
                slot=slot,
                provisional=one.is_provisional,
                posted=posted.get(one.name, 0),
                remembered=None if remembered is None else remembered.get(slot, 0),
            )
            for slot, one in work.table.by_slot.items()
        )
        return answer_response(ClassesAnswer(classes=classes))

    return [
        Route("/status", show_status, methods=["GET"]),
        Route("/classes", show_classes, methods=["GET"]),
    ]


def _read(kind: type[_Body], body: bytes, what: str) -> _Body:
    """Return what a body says. what: what it should be, and how it is written."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise RefusedError(422, f"the body is no {what}") from error
