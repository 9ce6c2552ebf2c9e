"""What can be asked, one function per path."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hiertk_edge.endpoint.answers import (
    ClassAnswer,
    ClassesAnswer,
    CorrectionAnswer,
    CorrectionRequest,
    StoredAnswer,
    answer_response,
    prediction_answer,
)
from hiertk_edge.endpoint.bodies import MAX_IMAGE_BYTES, MAX_JSON_BYTES, Bodies, refuse_form
from hiertk_edge.endpoint.queries import LabelQuery, TopQuery, read_query
from hiertk_edge.endpoint.record import RefusedError
from hiertk_edge.endpoint.work import Work
from hiertk_edge.endpoint.workers import Workers


def image_routes(work: Work, workers: Workers, bodies: Bodies) -> list[Route]:
    """Return what takes images, and what is said of them."""

    async def store(request: Request) -> Response:
        """Take a labelled image: the body is the file."""
        query = read_query(LabelQuery, request)
        refuse_form(request)
        slot = work.slot_of(query.label)
        async with bodies.whole(request, MAX_IMAGE_BYTES) as body:
            await workers.run(work.store, body, slot)
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
            correction = _correction(body)
        right = await workers.run(work.correct, correction.prediction, correction.label)
        counts = work.counts
        answer = CorrectionAnswer(
            label=correction.label,
            right=right,
            corrections=counts.corrections,
            right_share=counts.right_share,
        )
        return answer_response(answer, 202)

    return [
        Route("/images", store, methods=["POST"]),
        Route("/predictions", predict, methods=["POST"]),
        Route("/corrections", correct, methods=["POST"]),
    ]


def view_routes(
    work: Work,
    workers: Workers,
    status: Callable[[], Mapping[str, object]],
    class_counts: Callable[[], Sequence[int]] | None,
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
                name=name,
                slot=slot,
                posted=posted[slot],
                remembered=None if remembered is None else remembered[slot],
            )
            for slot, name in enumerate(work.class_names)
        )
        return answer_response(ClassesAnswer(classes=classes))

    return [
        Route("/status", show_status, methods=["GET"]),
        Route("/classes", show_classes, methods=["GET"]),
    ]


def _correction(body: bytes) -> CorrectionRequest:
    try:
        return CorrectionRequest.model_validate_json(body)
    except ValidationError as error:
        raise RefusedError(
            422, 'the body is no correction: send {"prediction": "ID", "label": "NAME"} as JSON'
        ) from error
