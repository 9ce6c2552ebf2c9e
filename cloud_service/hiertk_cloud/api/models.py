"""The trained model for download: the cloud partition alone, or merged with a device's weights."""

import asyncio
from collections.abc import Callable, Iterator

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from hiertk_protocol.errors import HiertkError, ModelError

from hiertk_cloud.conversion.request import FileFormat
from hiertk_cloud.model_files import Conversion, ModelFile, ModelFiles

_CHUNK = 1 << 20
_UPLOAD_S = 120.0
_RETRY_S = 5
_NO_EDGE = (
    "the edge partition's trained weights are on devices only: write a device's with "
    "`hiertk-edge weights --bundle B --state S --out edge.safetensors` and POST that file here"
)
_RESPONSES: dict[int | str, dict[str, str]] = {
    413: {"description": "Larger than edge weights of this bundle can be."},
    422: {"description": "Weights that do not fit this deployment."},
    503: {"description": "Another conversion is under way: see Retry-After."},
}


def router(files: ModelFiles) -> APIRouter:
    """Return the routes; who may call them is the application's affair."""
    routes = APIRouter(prefix="/api/models", tags=["models"], responses=_RESPONSES)

    @routes.get("/cloud", response_class=StreamingResponse)
    def cloud(format: FileFormat = "safetensors") -> StreamingResponse:  # noqa: A002
        """Download the cloud partition as it predicts: features to the final exit's logits."""
        with _begin(files) as conversion:
            return _download(_made(lambda: conversion.cloud(format)))

    @routes.get("/merged", response_class=StreamingResponse)
    def merged_without_weights() -> StreamingResponse:
        """Say why there is nothing to download without a device's weights."""
        raise HTTPException(409, _NO_EDGE)

    @routes.post("/merged", response_class=StreamingResponse)
    async def merged(
        request: Request,
        format: FileFormat = "safetensors",  # noqa: A002
    ) -> StreamingResponse:
        """Merge a device's edge weights, the body, with the cloud partition, and download both."""
        with _begin(files) as conversion:
            try:
                await asyncio.wait_for(
                    _receive(request, conversion, files.max_edge_bytes), _UPLOAD_S
                )
            except asyncio.TimeoutError as error:
                raise HTTPException(408, f"nothing whole came in {_UPLOAD_S:.0f} s") from error
            made = await run_in_threadpool(_made, lambda: conversion.merged(format))
            return _download(made)

    return routes


def _begin(files: ModelFiles) -> Conversion:
    conversion = files.begin()
    if conversion is None:
        raise HTTPException(
            503, "another conversion is under way: ask again", {"Retry-After": str(_RETRY_S)}
        )
    return conversion


async def _receive(request: Request, conversion: Conversion, limit: int) -> None:
    received = 0
    with conversion.edge.open("wb") as file:
        async for piece in request.stream():
            received += len(piece)
            if received > limit:
                raise HTTPException(
                    413, f"edge weights of this bundle are at most {limit} bytes, more came"
                )
            file.write(piece)
    if received == 0:
        raise HTTPException(422, f"an empty body: {_NO_EDGE}")


def _made(make: Callable[[], ModelFile]) -> ModelFile:
    try:
        return make()
    except ModelError as error:
        raise HTTPException(422, str(error)) from error
    except HiertkError as error:
        raise HTTPException(500, str(error)) from error


def _download(file: ModelFile) -> StreamingResponse:
    return StreamingResponse(
        _pieces(file),
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(file.size),
            "Content-Disposition": f'attachment; filename="{file.name}"',
        },
    )


def _pieces(file: ModelFile) -> Iterator[bytes]:
    with file.content as content:
        while piece := content.read(_CHUNK):
            yield piece
