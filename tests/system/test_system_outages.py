"""The network goes and comes back: training goes on, and everything arrives once."""

import pytest
from hiertk.link import ShapedLink
from mqtt_client import wait_until
from system.system_parts import (
    BATCHES,
    DEVICES,
    PATIENCE_S,
    Deployment,
    finish,
    summary,
    wait_for_end,
)


def test_the_broker_is_killed_and_comes_back_after_some_seconds(deployment: Deployment) -> None:
    cloud = deployment.start_ready_cloud()
    devices = [deployment.start_device(name) for name in DEVICES]
    wait_until(lambda: min(map(deployment.stored_from, DEVICES)) >= BATCHES // 4, PATIENCE_S)
    deployment.broker.kill()
    before = [deployment.trained(name) for name in DEVICES]
    assert max(before) < BATCHES, "killed in the midst of it"
    wait_until(lambda: sum(map(deployment.trained, DEVICES)) == 2 * BATCHES, PATIENCE_S)
    assert sum(map(deployment.held, DEVICES)) >= 2 * BATCHES - sum(before)
    assert all(device.process.poll() is None for device in (cloud, *devices))
    deployment.broker.start()
    assert [wait_for_end(device) for device in devices] == [0, 0]
    assert [summary(device)["edge_step"] for device in devices] == [BATCHES] * 2
    assert all("training goes on" in device.log.read_text() for device in devices)
    finish(deployment, cloud, batches=2 * BATCHES)


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_the_link_of_one_device_is_cut_and_the_other_is_undisturbed(
    deployment: Deployment,
) -> None:
    cloud = deployment.start_ready_cloud()
    with ShapedLink(deployment.broker.url) as link:
        cut_off = deployment.start_device("pi-1", broker=link.url)
        other = deployment.start_device("pi-2")
        wait_until(lambda: deployment.stored_from("pi-1") >= BATCHES // 2, PATIENCE_S)
        link.cut()
        before = deployment.trained("pi-1")
        assert before < BATCHES, "cut in the midst of it"
        assert wait_for_end(other) == 0
        assert deployment.stored_from("pi-2") == summary(other)["sent_total"] == BATCHES
        wait_until(lambda: deployment.trained("pi-1") == BATCHES, PATIENCE_S)
        assert deployment.held("pi-1") >= BATCHES - before
        link.restore()
        assert wait_for_end(cut_off) == 0
    assert "training goes on" in cut_off.log.read_text()
    finish(deployment, cloud, batches=2 * BATCHES)
