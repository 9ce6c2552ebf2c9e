"""Whole devices that meet new classes: named, taught, and mapped when the slot comes."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
from edge_configs import changed, edge_config
from edge_parts import CLASSES, write_bundle, write_images
from edge_runtime.classes.class_parts import MANIFEST
from edge_runtime.classes.tiny_registry import TinyRegistry
from edge_runtime.test_agent_streams import PATIENCE_S, Running
from hiertk.brokers import MosquittoBroker
from hiertk_edge.config import EdgeConfig
from hiertk_edge.device import OpenEngine
from hiertk_edge.spool import Spool, SpoolLimits
from hiertk_edge.status.file import read_status
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import NEW_CLASS, FeatureContract
from mqtt_client import wait_until
from numpy_learner import open_numpy_learner
from PIL import Image
from tiny_cloud import TinyCloud


def device_in(folder: Path, **values: object) -> EdgeConfig:
    """A device with an endpoint, offline, on a bundle of three classes and eight slots."""
    if not (folder / "bundle").exists():
        write_bundle(folder / "bundle", MANIFEST)
    defaults: dict[str, object] = {
        "endpoint": {"listen": "127.0.0.1:0"},
        "rehearsal": {"wait_s": 0.3, "held_out_share": 0.1},
        "checkpoint": {"every_s": 0, "every_steps": 2},
    }
    state = folder / str(values.get("device", "state"))
    return edge_config(folder / "bundle", state, **(defaults | values))


@contextmanager
def running(
    config: EdgeConfig, open_engine: OpenEngine = open_numpy_learner
) -> Iterator[tuple[Running, httpx2.Client]]:
    """A device and a program of its machine."""
    status = config.state / "status.json"
    status.unlink(missing_ok=True)  # of an earlier run, with another port
    with Running(config, open_engine) as device:
        wait_until(lambda: device.error is not None or status.exists(), PATIENCE_S)
        assert device.error is None, device.error
        wait_until(lambda: _endpoint(status) != "", PATIENCE_S)
        token = (config.state / "endpoint-token").read_text().strip()
        with httpx2.Client(
            base_url=_endpoint(status), headers={"Authorization": f"Bearer {token}"}
        ) as client:
            yield device, client


def _endpoint(status: Path) -> str:
    told = read_status(status)
    return "" if told is None else told.endpoint


def listed(client: httpx2.Client) -> dict[str, dict[str, object]]:
    """The classes by name."""
    return {one["name"]: one for one in client.get("/classes").json()["classes"]}


def write_yellow(folder: Path, count: int, *, seed: int = 0) -> list[bytes]:
    """Images of a colour that no class of the bundle has."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = generator.integers(0, 80, (16, 16, 3), np.uint8)
        pixels[..., :2] += 150
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def teach(client: httpx2.Client, label: str, images: list[bytes]) -> None:
    for image in images:
        taught = client.post("/images", params={"label": label}, content=image)
        assert taught.status_code == 202, taught.text


def teach_all(client: httpx2.Client, folder: Path, yellow: list[bytes]) -> None:
    """Teach the bundle's classes, and the new one among them."""
    write_images(folder, 12)
    for name in CLASSES:
        teach(client, name, [path.read_bytes() for path in sorted((folder / name).iterdir())])
    teach(client, "yellow", yellow)


def answer_to(client: httpx2.Client, image: bytes) -> str:
    reply = client.post("/predictions", content=image)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["class"])


@contextmanager
def both(
    url: str, *devices: str, manifest: Manifest = MANIFEST
) -> Iterator[tuple[TinyCloud, TinyRegistry]]:
    with (
        TinyRegistry(url, manifest, devices) as registry,
        TinyCloud(url, manifest.deployment, devices[0]) as cloud,
    ):
        yield cloud, registry


def meanings(cloud: TinyCloud) -> list[str]:
    """What the labels of all messages say, each read by itself."""
    contract = FeatureContract(MANIFEST)
    found = []
    for batch in cloud.batches.values():
        contract.validate(batch)
        for label in batch.labels:
            new = label - NEW_CLASS
            found.append(batch.new_classes[new] if new >= 0 else f"{label}")
    return found


def test_a_class_named_without_a_link_is_learned_and_gets_its_slot_later(
    tmp_path: Path, mosquitto: MosquittoBroker
) -> None:
    config = device_in(tmp_path, device="pi-1")
    yellow = write_yellow(tmp_path / "yellow", 16)
    test_image = write_yellow(tmp_path / "test", 1, seed=9)[0]
    with running(config) as (device, client):
        named = client.post("/classes", json={"name": "yellow"})
        assert named.json() == {"name": "yellow", "slot": 7, "provisional": True}
        teach_all(client, tmp_path / "images", yellow)
        device.wait(lambda status: status.edge_step > 5 and not status.waiting_samples)
        wait_until(lambda: answer_to(client, test_image) == "yellow", PATIENCE_S)
        assert device.newest.class_map_version == 1
    config = changed(config, broker={"url": mosquitto.url})
    with both(mosquitto.url, "pi-1") as (cloud, registry):
        with running(config) as (device, client):
            assert answer_to(client, test_image) == "yellow", "after a restart"
            device.wait(lambda status: status.class_map_version == 2)
            assert answer_to(client, test_image) == "yellow", "in its new slot"
            shown = listed(client)["yellow"]
            assert (shown["slot"], shown["provisional"]) == (3, False)
            assert shown["remembered"] == 16
            device.wait(lambda status: status.spool_batches == 0)
            trained = device.newest.edge_step
            teach(client, "yellow", write_yellow(tmp_path / "more", 8, seed=5))
            device.wait(lambda s: s.edge_step > trained and not s.waiting_samples)
            device.wait(lambda status: status.spool_batches == 0)
            wait_until(lambda: cloud.statuses[-1].class_map_version == 2, PATIENCE_S)
        said = meanings(cloud)
        newest = [batch for batch in cloud.batches.values() if batch.class_map_version == 2]
    assert said.count("yellow") >= 10, "by name while there was no slot"
    assert any(3 in batch.labels for batch in newest)
    assert not any(batch.new_classes for batch in newest)
    assert registry.asked[0] == "yellow"
    with running(config) as (_, client):
        assert answer_to(client, test_image) == "yellow", "after another restart"


@pytest.mark.slow
def test_two_devices_that_name_the_same_class_offline_get_the_same_slot(
    tmp_path: Path, mosquitto: MosquittoBroker
) -> None:
    devices = ("pi-1", "pi-2")
    configs = [device_in(tmp_path, device=name) for name in devices]
    for number, config in enumerate(configs):
        with running(config) as (_, client):
            for name in ("hat", "cup")[number:]:
                client.post("/classes", json={"name": name})
    online = [changed(config, broker={"url": mosquitto.url}) for config in configs]
    slots = []
    with (
        both(mosquitto.url, *devices) as (_, registry),
        running(online[0]) as (first, one),
        running(online[1]) as (second, other),
    ):
        for device, client in ((first, one), (second, other)):
            device.wait(lambda status: status.class_map_version == 3)
            slots.append({name: known["slot"] for name, known in listed(client).items()})
    assert slots[0] == slots[1]
    assert {slots[0]["hat"], slots[0]["cup"]} == {3, 4}
    assert set(registry.asked) == {"hat", "cup"}


@pytest.mark.slow
def test_a_class_that_is_retired_and_its_slot_given_away_is_unlearned(
    tmp_path: Path, mosquitto: MosquittoBroker
) -> None:
    config = device_in(tmp_path, device="pi-1", broker={"url": mosquitto.url})
    yellow = write_yellow(tmp_path / "yellow", 12)
    with both(mosquitto.url, "pi-1") as (_, registry), running(config) as (device, client):
        client.post("/classes", json={"name": "yellow"})
        teach_all(client, tmp_path / "images", yellow)
        device.wait(lambda status: status.class_map_version == 2)
        wait_until(lambda: answer_to(client, yellow[0]) == "yellow", PATIENCE_S)
        registry.change({3: ""})
        device.wait(lambda status: status.class_map_version == 3)
        assert answer_to(client, yellow[0]) != "yellow"
        refused = client.post("/images", params={"label": "yellow"}, content=yellow[0])
        assert refused.status_code == 422
        registry.change({3: "hat"})
        device.wait(lambda status: status.class_map_version == 4)
        hat = listed(client)["hat"]
        assert (hat["slot"], hat["remembered"]) == (3, 0)
        assert answer_to(client, yellow[0]) != "hat", "nothing was learned of it"


def test_a_refusal_is_told_and_the_class_goes_on_under_a_slot_of_the_device(
    tmp_path: Path, mosquitto: MosquittoBroker
) -> None:
    config = device_in(tmp_path, device="pi-1", broker={"url": mosquitto.url})
    with both(mosquitto.url, "pi-1") as (_, registry), running(config) as (device, client):
        registry.refuses = "all 8 class slots are taken"
        client.post("/classes", json={"name": "yellow"})
        device.wait(lambda s: any("all 8 class slots" in line for line in s.problems))
        assert listed(client)["yellow"]["provisional"]
    assert registry.asked == ["yellow"], "it is not asked again at once"


@pytest.mark.parametrize("new", ["refuse", pytest.param("accept", marks=pytest.mark.slow)])
def test_a_folder_of_an_unknown_name_opens_a_class_only_where_that_is_set(
    tmp_path: Path, new: str
) -> None:
    inbox = tmp_path / "inbox"
    write_images(inbox, 4)
    write_yellow(inbox / "yellow", 8)
    config = device_in(tmp_path, streams=(f"watch:{inbox}",), classes={"new": new})
    with running(config) as (device, client):
        if new == "refuse":
            device.wait(lambda status: status.mislabelled_images == 8)
            assert "yellow" not in listed(client)
            client.post("/classes", json={"name": "yellow"})
        device.wait(lambda s: s.rehearsal_samples == 20 and not s.waiting_samples)
        assert listed(client)["yellow"]["remembered"] == 8


def test_a_data_set_with_more_names_is_refused_or_taken(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", 6)
    write_yellow(data / "yellow", 6)
    values: dict[str, object] = {
        "data": f"folder:{data}",
        "endpoint": {},
        "training": {"epochs": 4, "drain_timeout_s": 0},
    }
    with Running(device_in(tmp_path, device="pi-1", **values)) as refused:
        wait_until(lambda: refused.error is not None, PATIENCE_S)
    assert isinstance(refused.error, ConfigError)
    assert "no class is called so" in str(refused.error)
    config = device_in(tmp_path, device="pi-2", classes={"new": "accept"}, **values)
    with Running(config) as device:
        wait_until(lambda: device.error is not None, PATIENCE_S)
        assert "still in the spool" in str(device.error)
    assert device.newest.edge_step == 24
    assert {name for one in spooled(config) for name in one.new_classes} == {"yellow"}


def spooled(config: EdgeConfig) -> list[FeatureBatch]:
    """The messages that a device left in its spool."""
    spool = Spool(
        config.state / "spool.sqlite",
        bundle_id=MANIFEST.bundle_id,
        device=config.device,
        limits=SpoolLimits(),
    )
    with closing(spool):
        found, seq = [], 0
        while (stored := spool.next_after(seq)) is not None:
            found.append(FeatureBatch.FromString(stored.message))
            seq = stored.seq
        return found
