"""A process is killed in mid-run and started again: each batch has its effect once."""

import signal
from pathlib import Path

import pytest
import torch
from hiertk_edge.sources import open_data_set
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch
from mqtt_client import wait_until
from safetensors.torch import load_file
from system.system_parts import (
    BATCH_SIZE,
    BATCHES,
    DEVICES,
    EPOCHS,
    PATIENCE_S,
    Deployment,
    end,
    finish,
    wait_for_end,
)


def test_a_killed_cloud_gives_the_weights_of_one_that_never_stopped(
    deployment: Deployment, tmp_path: Path
) -> None:
    killed = deployment.start_ready_cloud()
    devices = [deployment.start_device(name) for name in DEVICES]
    wait_until(deployment.cloud_checkpoint.exists, PATIENCE_S)
    end(killed, signal.SIGKILL)
    assert deployment.cloud_progress().turn < len(deployment.stored()) < 2 * BATCHES
    cloud = deployment.start_cloud()
    assert [wait_for_end(device) for device in devices] == [0, 0]
    finish(deployment, cloud, batches=2 * BATCHES)
    deployment.train_without_interruption(tmp_path / "uninterrupted.safetensors")
    wanted = load_file(tmp_path / "uninterrupted.safetensors")
    found = load_file(deployment.cloud_checkpoint)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_a_killed_device_sends_no_images_twice_and_skips_none(deployment: Deployment) -> None:
    cloud = deployment.start_ready_cloud()
    for stored in (3, 9):
        killed = deployment.start_device("pi-1")
        wait_until(lambda: deployment.stored_from("pi-1") >= stored, PATIENCE_S)  # noqa: B023
        end(killed, signal.SIGKILL)
        assert deployment.trained("pi-1") < BATCHES, "killed in the midst of it"
        wait_until(lambda: deployment.retained_device_status("pi-1").state == DeviceStatus.OFFLINE)
    assert wait_for_end(deployment.start_device("pi-1")) == 0
    finish(deployment, cloud, batches=BATCHES)
    sent = list(deployment.stored_messages("pi-1"))
    assert [list(message.labels) for message in sent] == labels_of_the_plan(deployment, "pi-1")
    assert {message.purpose for message in sent} == {FeatureBatch.TRAIN}


def labels_of_the_plan(deployment: Deployment, device: str) -> list[list[int]]:
    manifest = deployment.bundle.manifest
    source = open_data_set(
        f"folder:{deployment.images / device}", manifest.classes.names, manifest.input
    )
    batches = source.training_batches(BATCH_SIZE, seed=0, consumed=0, passes=EPOCHS)
    return [batch.labels.tolist() for batch in batches]
