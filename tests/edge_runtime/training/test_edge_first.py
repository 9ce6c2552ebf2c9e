"""The schedule "edge-first": nothing is sent while the edge partition learns, then all, once."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from agent_parts import MANIFEST, offline_device, run, run_offline, spooled, training
from edge_configs import changed
from edge_parts import DEVICE
from hiertk.brokers import MosquittoBroker
from hiertk_edge.config import EdgeConfig
from hiertk_edge.device import run_device
from hiertk_edge.watch import Watch
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch
from numpy_learner import NumpyLearner
from tiny_cloud import TinyCloud

EPOCHS = 8
STEPS = EPOCHS * 12
ONCE_EACH = {0: 16, 1: 16, 2: 16}


@pytest.fixture
def offline(tmp_path: Path) -> EdgeConfig:
    return changed(offline_device(tmp_path), training={"schedule": "edge-first", "epochs": EPOCHS})


def labels_of(batches: list[FeatureBatch]) -> Counter[int]:
    return Counter(slot for batch in batches for slot in batch.labels)


def test_every_image_is_sent_once_by_the_finished_edge_partition(offline: EdgeConfig) -> None:
    run_offline(offline)
    batches = training(spooled(offline))
    assert labels_of(batches) == ONCE_EACH
    assert {batch.edge_step for batch in batches} == {STEPS}
    assert all(batch.early_exit == batch.labels for batch in batches)


@pytest.mark.parametrize("stop_at", [(5, 0), (STEPS, 3)], ids=["training", "sending"])
def test_an_interrupted_run_resumes_to_the_very_same_messages(
    offline: EdgeConfig, tmp_path: Path, stop_at: tuple[int, int]
) -> None:
    asked = [False]

    def stop(status: DeviceStatus) -> None:
        asked[0] = (status.edge_step, status.spool_batches) == stop_at

    assert not run(offline, Watch(lambda: asked[0], stop)).finished
    assert len(spooled(offline)) == stop_at[1]
    run_offline(offline)
    whole = changed(offline, state=tmp_path / "whole")
    run_offline(whole)
    for resumed, straight in zip(spooled(offline), spooled(whole), strict=True):
        resumed.epoch = straight.epoch
        assert resumed == straight


def test_what_is_sent_once_waits_for_room_in_the_spool(
    offline: EdgeConfig, mosquitto: MosquittoBroker
) -> None:
    small = changed(offline, spool={"max_mib": 0.002}, held_out=None)
    is_draining = [False]

    def look(status: DeviceStatus) -> None:
        is_draining[0] = status.state == DeviceStatus.DRAINING

    assert not run(small, Watch(lambda: is_draining[0], look)).finished
    assert 0 < len(spooled(small)) < 12
    online = changed(small, broker={"url": mosquitto.url}, training={"drain_timeout_s": 20})
    with TinyCloud(mosquitto.url, MANIFEST.deployment, DEVICE) as cloud:
        outcome = run(online)
    assert outcome.finished
    assert outcome.status.dropped_total == 0
    assert labels_of(list(cloud.batches.values())) == ONCE_EACH


def test_training_that_diverges_is_told_though_nothing_is_sent(offline: EdgeConfig) -> None:
    def open_diverging(bundle: Bundle, _threads: int, checkpoint: Path | None) -> NumpyLearner:
        return NumpyLearner(bundle.manifest, checkpoint, learning_rate=np.inf)

    with np.errstate(all="ignore"), pytest.raises(ProtocolError, match="diverged"):
        run_device(offline, Watch(), open_engine=open_diverging)
    assert spooled(offline) == []


def test_more_epochs_begin_anew_and_send_again(
    offline: EdgeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    run_offline(offline)
    run_offline(changed(offline, training={"epochs": 1}))
    assert "other images, batch size, seed or schedule" in caplog.text
    assert labels_of(training(spooled(offline))) == dict.fromkeys(ONCE_EACH, 32)
