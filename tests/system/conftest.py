"""What the tests of the whole system share: a bundle, images, and a deployment to start."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from bundles import export_fashion, exported_once
from hiertk.brokers import Broker
from hiertk.data import load, write_image_folder
from hiertk.demo.processes import Children
from hiertk_protocol.bundle import Bundle
from system.system_parts import DEVICES, IMAGES, Deployment


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """ResNet-18 cut where a step takes device and cloud about the same time, some 50 ms."""
    export = partial(export_fashion, model="resnet18", split=6)
    return exported_once(tmp_path_factory, "resnet18-in-balance", export)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images for each device, and one of held-out ones."""
    folder = tmp_path_factory.mktemp("images")
    train = load("fashion-mnist-mini", "train")
    for number, name in enumerate(DEVICES):
        write_image_folder(train, range(number * IMAGES, (number + 1) * IMAGES), folder / name)
    write_image_folder(load("fashion-mnist-mini", "test"), range(16), folder / "held-out")
    return folder


@pytest.fixture
def deployment(
    broker: Broker, bundle: Bundle, images: Path, tmp_path: Path
) -> Iterator[Deployment]:
    """Nothing but the broker runs yet; whatever is started ends with the test."""
    with Children(tmp_path) as children:
        yield Deployment(tmp_path, bundle, images, broker, children)
    # Over 100 MB each, and pytest keeps the folders of three runs.
    for checkpoint in tmp_path.rglob("*.safetensors"):
        checkpoint.unlink()
