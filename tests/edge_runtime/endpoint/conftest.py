"""An endpoint for the tests that need no special one."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from edge_runtime.endpoint.endpoint_parts import Serving, serving


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as one:
        yield one


@pytest.fixture
def client(served: Serving) -> Iterator[httpx2.Client]:
    with served.client() as one:
        yield one
