import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from agent_parts import MANIFEST, offline_device, run, run_offline, spooled, training
from edge_configs import NO_BROKER, changed
from edge_parts import DEVICE, make_manifest, write_bundle, write_images
from hiertk.brokers import MosquittoBroker
from hiertk_edge.config import EdgeConfig
from hiertk_edge.device import run_device
from hiertk_edge.training.checkpoints import CheckpointRecord, Checkpoints
from hiertk_edge.watch import Watch
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError, ProtocolError, TransportError
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch
from hiertk_protocol.messages import FeatureContract
from mqtt_client import wait_until
from numpy_learner import NumpyLearner, open_numpy_learner
from tiny_cloud import TinyCloud

SCRIPT = Path(__file__).with_name("run_numpy_device.py")


@pytest.fixture
def offline(tmp_path: Path) -> EdgeConfig:
    return offline_device(tmp_path)


@pytest.fixture
def online(offline: EdgeConfig, mosquitto: MosquittoBroker) -> EdgeConfig:
    return changed(offline, broker={"url": mosquitto.url}, training={"drain_timeout_s": 20})


def checkpoint_of(config: EdgeConfig) -> CheckpointRecord:
    checkpoint = Checkpoints(config.state / "checkpoints", MANIFEST.bundle_id).newest()
    assert checkpoint is not None
    return checkpoint.record


def test_it_trains_sends_and_finishes(online: EdgeConfig, mosquitto: MosquittoBroker) -> None:
    online = changed(online, training={"epochs": 8})
    contract = FeatureContract(MANIFEST)
    with TinyCloud(mosquitto.url, MANIFEST.deployment, DEVICE) as cloud:
        outcome = run(online)
        wait_until(lambda: cloud.statuses[-1].state == DeviceStatus.FINISHED)
        for batch in cloud.batches.values():
            contract.check(batch)
    status = outcome.status
    assert outcome.finished
    assert (status.edge_step, status.spool_batches, status.bad_images) == (96, 0, 0)
    assert len(cloud.batches) == status.spooled_total == 96 + 3
    assert status.early_exit_held_out_accuracy == 1.0
    assert status.early_exit_loss < 0.9
    assert status.step_ms > 0
    states = [s.state for s in cloud.statuses]
    assert states[0] == DeviceStatus.TRAINING
    assert states[-1] == DeviceStatus.FINISHED


def test_every_image_is_sent_once_with_its_label(offline: EdgeConfig) -> None:
    run_offline(offline)
    batches = training(spooled(offline))
    assert Counter(slot for batch in batches for slot in batch.labels) == {0: 16, 1: 16, 2: 16}
    assert [batch.edge_step for batch in batches] == list(range(12))


def test_training_needs_no_broker_and_a_later_run_sends_what_is_left(
    offline: EdgeConfig, online: EdgeConfig, mosquitto: MosquittoBroker
) -> None:
    run_offline(offline)
    with TinyCloud(mosquitto.url, MANIFEST.deployment, DEVICE) as cloud:
        outcome = run(online)
        assert outcome.finished
        assert outcome.status.edge_step == 12
        assert len(cloud.batches) == 12 + 3
        assert run(online).status.sent_total == 0, "a third run has nothing to do"


def test_more_epochs_go_on_from_the_checkpoint(offline: EdgeConfig) -> None:
    run_offline(offline)
    run_offline(changed(offline, training={"epochs": 2}))
    batches = training(spooled(offline))
    assert [batch.edge_step for batch in batches] == list(range(24))
    assert checkpoint_of(offline).edge_step == 24


class FixedLearner(NumpyLearner):
    """Trains on 4 images at a time, no more and no fewer."""

    @property
    def fixed_batch_size(self) -> int | None:
        return 4

    def can_train(self, samples: int) -> bool:
        return samples == 4


def open_fixed_learner(bundle: Bundle, _threads: int, checkpoint: Path | None) -> FixedLearner:
    return FixedLearner(bundle.manifest, checkpoint)


def test_a_batch_that_the_program_cannot_train_on_is_left_out_and_told_of_once(
    offline: EdgeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_images(tmp_path / "more", 17)  # 51 images: 12 batches and 3 images
    settings = changed(offline, data=f"folder:{data}", training={"epochs": 2})
    with caplog.at_level(logging.WARNING), pytest.raises(TransportError):
        run_device(settings, Watch(), open_engine=open_fixed_learner)
    batches = training(spooled(settings))
    assert [batch.edge_step for batch in batches] == list(range(24))
    assert {len(batch.labels) for batch in batches} == {4}
    told = [record.message for record in caplog.records if "left out" in record.message]
    assert len(told) == 1
    assert told[0].startswith("a batch of 3 images is left out")
    evaluated = [one for one in spooled(settings) if one.purpose == FeatureBatch.HELD_OUT]
    assert sum(len(batch.labels) for batch in evaluated) == 9, "evaluation takes them all"


def test_another_batch_size_than_the_programs_is_refused_at_the_start(
    offline: EdgeConfig,
) -> None:
    settings = changed(offline, training={"batch_size": 8})
    with pytest.raises(ConfigError, match="--batch-size 8: this bundle's program takes 4 images"):
        run_device(settings, Watch(), open_engine=open_fixed_learner)
    assert spooled(settings) == []


def test_too_few_images_for_the_program_are_refused_at_the_start(
    offline: EdgeConfig, tmp_path: Path
) -> None:
    settings = changed(offline, data=f"folder:{write_images(tmp_path / 'few', 1)}")
    with pytest.raises(ConfigError, match="3 images make no batch of 4"):
        run_device(settings, Watch(), open_engine=open_fixed_learner)


def test_the_devices_own_learning_rate_is_used(offline: EdgeConfig) -> None:
    opened = []

    def open_engine(bundle: Bundle, _threads: int, checkpoint: Path | None) -> NumpyLearner:
        opened.append(NumpyLearner(bundle.manifest, checkpoint))
        return opened[0]

    with pytest.raises(TransportError):
        run_device(
            changed(offline, training={"learning_rate": 0.125}), Watch(), open_engine=open_engine
        )
    assert [learner.learning_rate for learner in opened] == [0.125]


def test_an_interrupted_run_resumes_to_the_very_same_training(
    offline: EdgeConfig, tmp_path: Path
) -> None:
    asked = [False]

    def stop_at_5(status: DeviceStatus) -> None:
        asked[0] = status.edge_step == 5

    outcome = run(offline, Watch(lambda: asked[0], stop_at_5))
    assert not outcome.finished
    assert len(spooled(offline)) == 5
    run_offline(offline)
    whole = changed(offline, state=tmp_path / "whole")
    run_offline(whole)
    for resumed, straight in zip(spooled(offline), spooled(whole), strict=True):
        resumed.epoch = straight.epoch
        assert resumed == straight


def test_held_out_features_are_a_round_of_one_edge_step(offline: EdgeConfig) -> None:
    run_offline(changed(offline, training={"evaluate_every": 5}))
    held_out = [m for m in spooled(offline) if m.purpose == FeatureBatch.HELD_OUT]
    assert [message.edge_step for message in held_out] == [5] * 3 + [10] * 3 + [12] * 3
    for start in (0, 3, 6):
        labels = [slot for message in held_out[start : start + 3] for slot in message.labels]
        assert sorted(labels) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_large_batches_become_several_messages(
    online: EdgeConfig, mosquitto: MosquittoBroker
) -> None:
    online = changed(online, held_out=None, training={"batch_size": 24})
    cloud_settings = (mosquitto.url, MANIFEST.deployment, DEVICE)
    with TinyCloud(*cloud_settings, max_message_bytes=700) as cloud:
        # The first batches may be made before the cloud's limit is known; then they are dropped.
        outcome = run(changed(online, training={"epochs": 40}))
        assert outcome.finished
    assert max(batch.ByteSize() for batch in cloud.batches.values()) <= 700
    last = cloud.batches[max(cloud.batches)]
    assert len(last.labels) < 24


def test_a_kill_9_sends_no_batch_twice_and_skips_none(offline: EdgeConfig, tmp_path: Path) -> None:
    data = f"folder:{write_images(tmp_path / 'much', 100)}"
    settings = changed(offline, held_out=None, data=data)
    command = [
        sys.executable,
        str(SCRIPT),
        *(str(settings.bundle), NO_BROKER, data, str(settings.state)),
    ]
    for steps in (6, 9):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as device:
            assert device.stdout is not None
            for _ in range(steps):
                device.stdout.readline()
            os.kill(device.pid, signal.SIGKILL)
    assert 13 <= len(spooled(settings)) < 75, "killed in the midst of it"
    run_offline(settings)
    whole = changed(settings, state=tmp_path / "whole")
    run_offline(whole)
    sent, wanted = spooled(settings), spooled(whole)
    assert [m.seq for m in sent] == list(range(1, 76))
    assert [m.labels for m in sent] == [m.labels for m in wanted]
    for message, straight in zip(sent, wanted, strict=True):
        assert message.features == straight.features, "the projection is fixed: same images"


def test_unreadable_images_are_in_the_status_and_training_goes_on(
    offline: EdgeConfig, tmp_path: Path
) -> None:
    for number in range(4):
        (tmp_path / "data/red" / f"bad{number}.png").write_bytes(b"bad")
    seen: list[DeviceStatus] = []
    with pytest.raises(TransportError):
        run(offline, Watch(show=seen.append))
    assert seen[-1].bad_images == 4
    assert sum(len(batch.labels) for batch in training(spooled(offline))) == 48


def test_a_diverged_network_stops_and_leaves_the_good_checkpoint(offline: EdgeConfig) -> None:
    run_offline(offline)
    good = checkpoint_of(offline)

    def open_diverging(bundle: Bundle, _threads: int, checkpoint: Path | None) -> NumpyLearner:
        return NumpyLearner(bundle.manifest, checkpoint, learning_rate=np.inf)

    config = changed(offline, training={"epochs": 2}, checkpoint={"every_steps": 1})
    with np.errstate(all="ignore"), pytest.raises(ProtocolError, match="diverged"):
        run_device(config, Watch(), open_engine=open_diverging)
    assert checkpoint_of(offline) == good


def test_other_data_begins_a_new_pass_with_what_was_learned(
    offline: EdgeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_offline(offline)
    other = f"folder:{write_images(tmp_path / 'more', 8)}"
    with caplog.at_level(logging.WARNING):
        run_offline(changed(offline, data=other))
    assert "begins a new pass" in caplog.text
    assert [m.edge_step for m in training(spooled(offline))] == list(range(18))


def test_a_state_folder_of_another_bundle_is_refused(offline: EdgeConfig, tmp_path: Path) -> None:
    run_offline(offline)
    other = write_bundle(tmp_path / "other", make_manifest(split=2))
    with pytest.raises(ConfigError, match=r"belongs to bundle .*another --state"):
        run(changed(offline, bundle=other))


def test_a_full_spool_does_not_stop_training(offline: EdgeConfig) -> None:
    seen: list[DeviceStatus] = []
    with pytest.raises(TransportError):
        run_device(
            changed(offline, spool={"max_mib": 2000 / (1 << 20)}),
            Watch(show=seen.append),
            open_engine=open_numpy_learner,
        )
    assert seen[-1].dropped_total > 0
    assert seen[-1].spooled_total == 15
    assert seen[-1].spool_bytes <= 2000
