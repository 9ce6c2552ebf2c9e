"""A real Mosquitto and really exported bundles for the tests of the device."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from bundles import export_fashion, exported_once
from edge_parts import CLASSES
from hiertk.brokers import MosquittoBroker, find_mosquitto
from hiertk_protocol.bundle import Bundle

BACKENDS = ("onnxruntime", "torch", "executorch")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[MosquittoBroker]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with MosquittoBroker(tmp_path / "broker") as running:
        yield running


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ResNet-18 cut after its first block, for 32x32 images of three classes."""
    export = partial(export_fashion, model="resnet18", split=1, classes=CLASSES, batch_size=8)
    return exported_once(tmp_path_factory, "resnet18-of-colours", export).folder


@pytest.fixture(params=BACKENDS)
def learner_bundle(request: pytest.FixtureRequest, bundle_of: Callable[[str], Bundle]) -> Bundle:
    """A bundle; the test runs once for each backend."""
    return bundle_of(request.param)
