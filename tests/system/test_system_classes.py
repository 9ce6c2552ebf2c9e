"""A new class through the whole system: named offline, given a slot, kept through growing."""

import io
import json
import signal
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hiertk.data import load
from hiertk.demo.new_class.device import DeviceEndpoint, wait_for_endpoint
from hiertk.demo.processes import Child
from hiertk.export.grow import GrowSettings, grow_bundle
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_protocol.bundle import open_bundle
from mqtt_client import wait_until
from system.system_parts import DEVICES, Deployment, end

PATIENCE_S = 60.0
NAME = "kettle"


def pictures(count: int) -> list[bytes]:
    """Return image files of one class of real images, which nobody here was shown before."""
    test = load("fashion-mnist-mini", "test")
    found = []
    for index in range(len(test)):
        image, label = test.items[index]
        if label == 8:
            file = io.BytesIO()
            image.save(file, "PNG")
            found.append(file.getvalue())
    return found[:count]


def start(deployment: Deployment, name: str) -> tuple[Child, DeviceEndpoint]:
    device = deployment.start_device(name, "--endpoint", "127.0.0.1:0")
    state = deployment.folder / name
    return device, wait_for_endpoint(device.log, state, lambda: device.is_done)


def asked(endpoint: DeviceEndpoint, path: str) -> dict[str, Any]:
    connection = HTTPConnection(endpoint.address, timeout=20)
    connection.request("GET", path, headers={"Authorization": f"Bearer {endpoint.token}"})
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def class_of(endpoint: DeviceEndpoint) -> dict[str, Any]:
    classes = asked(endpoint, "/classes")["classes"]
    return next(one for one in classes if one["name"] == NAME)


def until(condition: Callable[[], bool]) -> None:
    def holds() -> bool:
        time.sleep(0.1)
        return condition()

    wait_until(holds, PATIENCE_S)


def labels_under(deployment: Deployment, device: str) -> set[int]:
    """Return the labels that the cloud has from a device under the deployment's own bundle."""
    wanted = deployment.bundle.manifest.bundle_id
    messages = deployment.stored_messages(device)
    return {label for one in messages if one.bundle_id == wanted for label in one.labels}


def open_slots(deployment: Deployment) -> tuple[int, ...]:
    """Return the slots that are open in the cloud's newest checkpoint."""
    if not deployment.cloud_checkpoint.exists():
        return ()
    return deployment.cloud_progress().open_slots or ()


@pytest.mark.slow
def test_a_class_named_offline_gets_one_slot_on_all_sides_and_survives_growing(
    deployment: Deployment, tmp_path: Path
) -> None:
    first, endpoint = start(deployment, DEVICES[0])
    endpoint.name(NAME)
    assert class_of(endpoint)["provisional"]
    for picture in pictures(12):
        endpoint.show(picture, NAME)
    until(lambda: asked(endpoint, "/status")["state"] == "WAITING")
    assert deployment.held(DEVICES[0]) > 0, "nobody has taken anything yet"

    cloud = deployment.start_ready_cloud()
    until(lambda: not class_of(endpoint)["provisional"])
    slot = class_of(endpoint)["slot"]
    until(lambda: deployment.held(DEVICES[0]) == 0)
    by_name = [m for m in deployment.stored_messages(DEVICES[0]) if NAME in m.new_classes]
    assert by_name, "sent before the slot was known"

    second, other = start(deployment, DEVICES[1])
    other.name(NAME)
    until(lambda: not class_of(other)["provisional"])
    assert class_of(other)["slot"] == slot
    assert end(second, signal.SIGTERM) == 0

    until(lambda: slot in open_slots(deployment))
    step = asked(endpoint, "/status")["edge_step"]
    assert end(first, signal.SIGTERM) == 0
    assert end(cloud, signal.SIGTERM) == 0
    assert slot in open_slots(deployment)

    capacity = 2 * deployment.bundle.manifest.classes.capacity
    settings = GrowSettings(class_capacity=capacity, out=tmp_path / "grown")
    grown = grow_bundle(deployment.bundle, settings).bundle
    later = Deployment(
        deployment.folder,
        open_bundle(grown.folder),
        deployment.images,
        deployment.broker,
        deployment.children,
    )
    cloud = later.start_ready_cloud()
    again, endpoint = start(later, DEVICES[0])
    known = class_of(endpoint)
    assert (known["slot"], known["provisional"]) == (slot, False)
    assert asked(endpoint, "/status")["edge_step"] >= step
    for picture in pictures(24)[12:]:
        endpoint.show(picture, NAME)
    until(lambda: slot in labels_under(later, DEVICES[0]))
    assert end(again, signal.SIGTERM) == 0
    assert end(cloud, signal.SIGTERM) == 0
    with_registry = ClassRegistry.existing(deployment.folder / "cloud" / "classes.sqlite")
    assert with_registry.capacity == capacity
    with_registry.close()
