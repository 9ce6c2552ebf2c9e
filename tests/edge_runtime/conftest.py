"""A real Mosquitto for the tests of the device."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hiertk.brokers import MosquittoBroker, find_mosquitto


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[MosquittoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with MosquittoBroker(tmp_path / "broker") as running:
        yield running
