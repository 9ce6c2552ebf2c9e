from collections.abc import Callable
from functools import cache

import pytest
from grown_bundles import Generations, both


@pytest.fixture(scope="session")
def generations_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Generations]:
    """A small bundle of each backend and what it was grown to; not to be changed."""

    @cache
    def make(backend: str) -> Generations:
        return both(tmp_path_factory.mktemp(backend), backend=backend)

    return make


@pytest.fixture(params=["onnxruntime", "torch", pytest.param("executorch", marks=pytest.mark.slow)])
def generations(
    request: pytest.FixtureRequest, generations_of: Callable[[str], Generations]
) -> Generations:
    """The same; a test runs once for each backend."""
    return generations_of(request.param)
