"""The real broker that the cloud service's tests talk through."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hiertk.brokers import Broker, MosquittoBroker, find_mosquitto


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with MosquittoBroker(tmp_path / "broker") as running:
        yield running
