"""The whole path of a new class on ONNX Runtime: named, taught, mapped, restarted."""

from pathlib import Path

import httpx2
import numpy as np
import pytest
from edge_configs import changed, edge_config
from edge_runtime.classes.test_agent_classes import (
    answer_to,
    both,
    listed,
    running,
    teach_all,
    write_yellow,
)
from edge_runtime.test_agent_streams import PATIENCE_S
from hiertk.brokers import MosquittoBroker
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.learner import Learner
from hiertk_protocol.bundle import Bundle, open_bundle
from mqtt_client import wait_until


def open_ort(bundle: Bundle, threads: int, checkpoint: Path | None) -> Learner:
    return open_learner(bundle, threads=threads, checkpoint=checkpoint)


@pytest.mark.slow
def test_a_class_of_twenty_images_is_learned_and_stays_whatever_its_slot(
    tmp_path: Path, exported: Path, mosquitto: MosquittoBroker
) -> None:
    capacity = open_bundle(exported).manifest.classes.capacity
    offline = edge_config(
        exported,
        tmp_path / "state",
        device="pi-1",
        endpoint={"listen": "127.0.0.1:0"},
        rehearsal={"wait_s": 0.3, "held_out_share": 0},
        checkpoint={"every_s": 0, "every_steps": 5},
    )
    yellow = write_yellow(tmp_path / "yellow", 20)
    unseen = write_yellow(tmp_path / "test", 10, seed=9)
    red = (tmp_path / "images" / "red" / "001.png").read_bytes

    def right(client: httpx2.Client) -> float:
        return float(np.mean([answer_to(client, image) == "yellow" for image in unseen]))

    with running(offline, open_engine=open_ort) as (device, client):
        slot = client.post("/classes", json={"name": "yellow"}).json()["slot"]
        assert slot == capacity - 1
        teach_all(client, tmp_path / "images", yellow)
        device.wait(lambda status: status.edge_step > 4 and not status.waiting_samples)
        wait_until(lambda: right(client) > 0.5, PATIENCE_S)
        assert answer_to(client, red()) == "red"
        before = right(client)
    online = changed(offline, broker={"url": mosquitto.url})
    manifest = open_bundle(exported).manifest
    with both(mosquitto.url, "pi-1", manifest=manifest) as (cloud, _):
        with running(online, open_engine=open_ort) as (device, client):
            device.wait(lambda status: status.class_map_version == 2)
            assert listed(client)["yellow"]["slot"] == 3
            assert right(client) == before
            device.wait(lambda status: status.spool_batches == 0)
        assert {name for one in cloud.batches.values() for name in one.new_classes} == {"yellow"}
    with running(offline, open_engine=open_ort) as (_, client):
        assert (listed(client)["yellow"]["slot"], right(client)) == (3, before)
