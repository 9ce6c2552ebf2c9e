"""Whole runs: to the end, to a signal, and with a broker that comes only later."""

import math
import os
import signal

import pytest
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_protocol.hiertk_pb2 import DeviceStatus, ModelStatus
from mqtt_client import wait_until
from system.system_parts import (
    BATCH_SIZE,
    BATCHES,
    DEVICES,
    IMAGES,
    PATIENCE_S,
    Deployment,
    end,
    finish,
    summary,
    wait_for_end,
)

HELD_OUT_BATCHES = 2


def test_two_devices_end_by_themselves_and_the_cloud_trains_on_all(deployment: Deployment) -> None:
    held_out = ("--held-out", f"folder:{deployment.images / 'held-out'}")
    cloud = deployment.start_cloud()
    devices = [deployment.start_device(name, *held_out) for name in DEVICES]
    assert [wait_for_end(device) for device in devices] == [0, 0]
    each = BATCHES + HELD_OUT_BATCHES
    finish(deployment, cloud, batches=2 * each)
    for name, device in zip(DEVICES, devices, strict=True):
        status = deployment.retained_device_status(name)
        assert (status.state, status.edge_step) == (DeviceStatus.FINISHED, BATCHES)
        assert (status.spool_batches, status.spooled_total) == (0, each)
        assert (status.dropped_total, status.refused_total) == (0, 0)
        assert summary(device)["finished"]
    assert deployment.retained_model_status().state == ModelStatus.OFFLINE
    rounds = {name: one.rounds for name, one in deployment.cloud_progress().devices.items()}
    samples = {name: one.newest.samples for name, one in rounds.items() if one}
    assert samples == dict.fromkeys(DEVICES, 16)


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_edge_first_sends_each_image_once_and_the_cloud_goes_over_them(
    deployment: Deployment,
) -> None:
    passes, messages = 4, IMAGES // BATCH_SIZE
    cloud = deployment.start_cloud("--schedule", "replay", "--passes", str(passes))
    device = deployment.start_device("pi-1", "--schedule", "edge-first")
    assert wait_for_end(device) == 0
    told = summary(device)
    assert (told["edge_step"], told["sent_total"]) == (BATCHES, messages)
    assert {one.edge_step for one in deployment.stored_messages("pi-1")} == {BATCHES}
    labels = [slot for one in deployment.stored_messages("pi-1") for slot in one.labels]
    assert len(labels) == IMAGES
    again = (passes - 1) * messages
    steps = messages + again // 2  # two of them in a step
    wait_until(lambda: deployment.retained_model_status().cloud_step >= steps, PATIENCE_S)
    assert end(cloud, signal.SIGTERM) == 0
    progress = deployment.cloud_progress()
    assert (progress.trained_total, progress.replayed_total) == (messages, again)


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_without_a_broker_it_trains_to_the_end_and_a_later_run_sends_all(
    deployment: Deployment,
) -> None:
    deployment.broker.stop()
    cloud = deployment.start_cloud()
    alone = deployment.start_device("pi-1", "--drain-timeout", "0.5")
    assert wait_for_end(alone) == 9
    assert deployment.trained("pi-1") == deployment.held("pi-1") == BATCHES
    (line,) = [line for line in alone.log.read_text().splitlines() if "Error" in line]
    assert line == (
        f"TransportError: {BATCHES} messages are still in the spool {deployment.folder / 'pi-1'}: "
        "run the same command again to send them"
    )
    deployment.broker.start()
    again = deployment.start_device("pi-1")
    assert wait_for_end(again) == 0
    told = summary(again)
    assert (told["edge_step"], told["sent_total"], told["step_ms"]) == (BATCHES, BATCHES, None)
    finish(deployment, cloud, batches=BATCHES)


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_sigterm_ends_cloud_and_device_cleanly(deployment: Deployment) -> None:
    cloud = deployment.start_ready_cloud()
    device = deployment.start_device("pi-1", "--epochs", "1000")
    wait_until(lambda: deployment.stored_from("pi-1") >= 3, PATIENCE_S)
    assert end(device, signal.SIGTERM) == 0
    assert end(cloud, signal.SIGTERM) == 0
    assert not summary(device)["finished"]
    bundle_id = deployment.bundle.manifest.bundle_id
    checkpoint = Checkpoints(deployment.folder / "pi-1" / "checkpoints", bundle_id).newest()
    assert checkpoint is not None
    assert open_learner(deployment.bundle, checkpoint=checkpoint.learner_file).edge_step == (
        deployment.trained("pi-1")
    )
    progress = deployment.cloud_progress()
    assert 0 < progress.turn == progress.trained_total <= len(deployment.stored())
    status = deployment.retained_device_status("pi-1")
    assert (status.state, status.edge_step) == (DeviceStatus.OFFLINE, deployment.trained("pi-1"))
    assert not math.isnan(status.early_exit_loss)
    assert deployment.retained_model_status().state == ModelStatus.OFFLINE
    for child in (cloud, device):
        with pytest.raises(ProcessLookupError):  # each began a process group of its own
            os.killpg(child.process.pid, 0)
