"""Several ranks train one model: as one process would, and with nothing lost when one is killed."""

import json
import os
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from cloud_service.cloud_parts import MANIFEST, make_module
from cloud_service.ranks_learn import CASES, make_group_module, state_of
from hiertk.brokers import Broker
from hiertk.models import CutSpec, NetworkSpec, both_sides, describe_cloud, open_network
from hiertk_cloud.distributed.checkpoint import GroupProgress
from hiertk_cloud.distributed.group import Group, open_group
from hiertk_cloud.distributed.opening import settings_of_rank
from hiertk_cloud.distributed.state import lock_rank
from hiertk_cloud.training.learner import CloudLearner, Learned
from hiertk_cloud.training.trainer import TrainerSettings
from hiertk_protocol.bundle import CLOUD_MODULE, CLOUD_WEIGHTS, describe_file
from hiertk_protocol.bundle import MANIFEST as MANIFEST_FILE
from hiertk_protocol.class_requests import ClassContract
from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import ClassReply, FeatureBatch, ModelStatus, QuantizedFeatures
from hiertk_protocol.manifest import FeatureInfo, Manifest
from hiertk_protocol.messages import Batch, parse_ack, parse_model_status
from hiertk_protocol.topics import Topics
from mqtt_client import PlainClient, wait_until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import Self

TESTS = Path(__file__).parent.parent
RANKS = 2
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
SERVE = ("-m", "hiertk_cloud.serve", "--json")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks have learned in every case."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(
            [sys.executable, TESTS / "cloud_service/ranks_learn.py", folder],
            env={**environment(), **group, "RANK": str(rank)},
        )
        for rank in range(RANKS)
    ]
    try:
        assert [rank.wait(timeout=120) for rank in ranks] == [0] * RANKS
    finally:
        for rank in ranks:
            rank.kill()
    return folder


def environment() -> dict[str, str]:
    path = os.pathsep.join(part for part in (str(TESTS), os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def of_ranks(folder: Path, case: str) -> dict[str, Tensor]:
    """Return what the ranks have in the end, which must be the same bits."""
    first, second = (load_file(folder / f"{case}-{rank}.safetensors") for rank in range(RANKS))
    for name, tensor in first.items():
        if name != "skipped":
            assert torch.equal(tensor, second[name]), name
    found: dict[str, Tensor] = second
    return found


def of_one(*steps: list[Batch]) -> dict[str, Tensor]:
    """Return what one process has after steps on these batches, each joined to one."""
    torch.set_num_threads(1)
    learner = CloudLearner(make_group_module(), MANIFEST, 1e-2)
    for batches in steps:
        assert isinstance(learner.learn(batches[0], batches[1:]), Learned)
    return state_of(learner)


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def plan_of(case: str) -> list[list[Batch]]:
    return [[one for one in shares if one is not None] for shares in CASES[case][1]()]


def test_two_ranks_at_half_the_batch_equal_one_rank_with_the_whole(learned: Path) -> None:
    assert_close(of_one(*plan_of("even")), of_ranks(learned, "even"))


def test_a_rank_without_batches_takes_part_in_the_steps_of_the_other(learned: Path) -> None:
    found = of_ranks(learned, "uneven")
    assert int(found["steps"]) == 5
    assert_close(of_one(*plan_of("uneven")), found)


def test_a_batch_that_would_do_harm_is_left_out_by_all_and_the_others_is_not(learned: Path) -> None:
    first, second, third = plan_of("harmful")
    found = of_ranks(learned, "harmful")
    assert (int(found["steps"]), int(found["skipped"])) == (3, 1)
    assert_close(of_one(first, second[:1], third), found)
    found = of_ranks(learned, "single")
    assert (int(found["steps"]), int(found["skipped"])) == (3, 1)


def test_running_statistics_are_the_mean_of_the_ranks_own(learned: Path) -> None:
    found = of_ranks(learned, "batch-normalization")
    learner = CloudLearner(make_module(), MANIFEST, 1e-2)
    (batches,) = plan_of("batch-normalization")
    learner.learn(batches[0], batches[1:])
    whole = state_of(learner)
    torch.testing.assert_close(found["module/1.running_mean"], whole["module/1.running_mean"])
    # What lies between the ranks is missing: a little of these features' variance.
    variance, wanted = found["module/1.running_var"], whole["module/1.running_var"]
    assert not torch.equal(variance, wanted)
    torch.testing.assert_close(variance, wanted, rtol=0.05, atol=0)
    assert int(found["module/1.num_batches_tracked"]) == 1


def test_each_device_belongs_to_one_rank() -> None:
    groups = [Group(rank, 3) for rank in range(3)]
    owners = Counter(tuple(group.owns(f"pi-{number}") for group in groups) for number in range(300))
    assert all(sum(owner) == 1 for owner in owners)
    assert min(owners.values()) > 70


def test_a_state_folder_is_refused_to_another_number_of_ranks(tmp_path: Path) -> None:
    for _ in range(2):
        with lock_rank(tmp_path, Group(0, 2)) as folder:
            assert folder.log.parent == tmp_path / "rank-0"
    with (
        pytest.raises(ConfigError, match="rank 0 of 2, this is rank 0 of 3: start 2 ranks"),
        lock_rank(tmp_path, Group(0, 3)),
    ):
        pass
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/log.sqlite").touch()
    with (
        pytest.raises(ConfigError, match="of one process"),
        lock_rank(tmp_path / "alone", Group(0, 2)),
    ):
        pass


def test_without_torchrun_it_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="torchrun --nproc-per-node N"), open_group():
        pass


DEVICES = 4
BATCHES = 150  # of each device
HELD_OUT_EVERY = 10


class Devices:
    """Devices that send batches of a bundle, again and again until they are acknowledged."""

    def __init__(self, broker: Broker, manifest: Manifest) -> None:
        self.topics = Topics(manifest.deployment)
        self.manifest = manifest
        self.names = tuple(f"pi-{number}" for number in range(DEVICES))
        self.through = dict.fromkeys(self.names, 0)
        self.status = ModelStatus()
        acks = (self.topics.ack(name) for name in self.names)
        self._client = PlainClient(broker.url, self.topics.model, *acks)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._send, self._listen)]

    def __enter__(self) -> Self:
        self._client.__enter__()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._client.publish(self.topics.model, ModelStatus().SerializeToString())  # wakes it
        for thread in self._threads:
            thread.join()
        self._client.__exit__(None, None, None)

    def is_told(self, *, consumed: int) -> bool:
        online = self.status.state == ModelStatus.ONLINE
        return online and self.status.consumed_total >= consumed

    def _send(self) -> None:
        while not self._stopping.is_set():
            for seq in range(1, BATCHES + 1):
                for name in self.names:
                    if self.through[name] < seq <= self.through[name] + 4:
                        message = batch_of(self.manifest, name, seq).SerializeToString()
                        self._client.publish(self.topics.features(name), message)
            self._stopping.wait(0.1)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                message = self._client.receive()
            except queue.Empty:  # processes that import torch can be long in coming
                continue
            if message.topic == self.topics.model:
                self.status = parse_model_status(bytes(message.payload))
                continue
            name = self.topics.device_of(message.topic)
            assert name is not None
            through = parse_ack(bytes(message.payload)).through
            self.through[name] = max(self.through[name], through)


@cache
def features_of(shape: tuple[int, int, int], bits: Literal[8, 4]) -> QuantizedFeatures:
    generator = np.random.default_rng(0)
    return encode(quantize(generator.random((2, *shape), np.float32), bits))


def batch_of(manifest: Manifest, device: str, seq: int) -> FeatureBatch:
    is_held_out = seq % HELD_OUT_EVERY == 0
    return FeatureBatch(
        bundle_id=manifest.bundle_id,
        device=device,
        epoch=1,
        seq=seq,
        floor=1,
        edge_step=seq,
        class_map_version=1,
        purpose=FeatureBatch.HELD_OUT if is_held_out else FeatureBatch.TRAIN,
        shape=(2, *manifest.features.shape),
        features=features_of(manifest.features.shape, manifest.features.bits),
        labels=[0, 1],
        early_exit=[0, 0],
        early_exit_loss=1.0,
    )


def write_bundle(folder: Path) -> Manifest:
    """Write the cloud's part of a bundle whose cloud partition is a pool and a linear layer."""
    network = NetworkSpec(
        "resnet18",
        slots=MANIFEST.classes.capacity,
        input_size=32,
        stem="3x3",
        normalization="batch",
    )
    spec = CutSpec(network, split=8)
    sides = both_sides(open_network(network), spec)
    (folder / "cloud").mkdir(parents=True)
    save_file(sides.cloud.state_dict(), folder / CLOUD_WEIGHTS)
    (folder / CLOUD_MODULE).write_text(describe_cloud(spec).model_dump_json())
    manifest = MANIFEST.model_copy(
        update={
            "features": FeatureInfo(shape=sides.feature_shape, bits=8),
            "files": {name: describe_file(folder / name) for name in (CLOUD_WEIGHTS, CLOUD_MODULE)},
        }
    )
    (folder / MANIFEST_FILE).write_bytes(manifest.to_json())
    return manifest


class Ranks:
    """`torchrun -m hiertk_cloud.serve`, and the events that its ranks print."""

    def __init__(self, config: Path, output: Path) -> None:
        self.output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [*TORCHRUN, str(RANKS), "--max-restarts", "3", *SERVE, "--config", config],
                stdout=file,
                stderr=file,
                env=environment(),
            )

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = [line for line in self.output.read_text().splitlines() if line.startswith("{")]
        return [event for line in lines if (event := json.loads(line))["event"] == kind]


@contextmanager
def running(config: Path, output: Path) -> Iterator[Ranks]:
    ranks = Ranks(config, output)
    try:
        yield ranks
    finally:
        if ranks.process.poll() is None:
            ranks.process.terminate()
            ranks.process.wait(timeout=60)


def refusal_of_a_new_class(broker: Broker, manifest: Manifest) -> str:
    """Ask for a class's slot, and return why there is none."""
    topics = Topics(manifest.deployment)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = b"1"
    with PlainClient(broker.url, topics.class_reply("pi-1")) as client:
        client.paho.publish(
            topics.class_request("pi-1"),
            ClassContract(manifest).request("boot"),
            qos=1,
            properties=properties,
        )
        reply = ClassReply.FromString(bytes(client.receive().payload))
    return str(reply.error)


@pytest.mark.slow
def test_a_rank_is_killed_under_load_and_each_acknowledged_batch_is_trained_on_once(
    mosquitto: Broker, tmp_path: Path
) -> None:
    state, config = tmp_path / "state", tmp_path / "cloud.toml"
    manifest = write_bundle(tmp_path / "bundle")
    config.write_text(
        f'bundle = "{tmp_path / "bundle"}"\nstate = "{state}"\n'
        f'[broker]\nurl = "{mosquitto.url}"\n'
        "[trainer]\ncheckpoint_every = 10\nreplay = 1\n"
        "[log]\nreserve_mib = 1\n"
    )
    whole = DEVICES * BATCHES
    with (
        Devices(mosquitto, manifest) as devices,
        running(config, tmp_path / "output") as ranks,
    ):
        wait_until(lambda: devices.is_told(consumed=whole // 4), 120)
        before = devices.status.incarnation
        os.kill(ranks.events("started")[-1]["process"], signal.SIGKILL)
        wait_until(lambda: devices.status.incarnation not in (0, before), 120)
        wait_until(lambda: devices.is_told(consumed=whole), 120)
        assert set(devices.through.values()) == {BATCHES}
        assert "keeps the exported classes only" in refusal_of_a_new_class(mosquitto, manifest)
        assert devices.status.stored_total == whole
        assert devices.status.trained_total == whole * 9 // 10
        ranks.process.send_signal(signal.SIGTERM)
        ranks.process.wait(timeout=60)
        assert len(ranks.events("stopped")) == RANKS
        assert len(ranks.events("started")) == 2 * RANKS
    with safe_open(state / "group-checkpoint.safetensors", "pt") as file:
        progress = GroupProgress.model_validate_json(file.metadata()["progress"])
    trained = {
        name: device.trained_total for one in progress.ranks for name, device in one.devices.items()
    }
    assert trained == dict.fromkeys(devices.names, BATCHES * 9 // 10)
    for rank, one in enumerate(progress.ranks):
        owned = [name for name in devices.names if Group(rank, RANKS).owns(name)]
        assert sorted(one.devices) == owned
        assert one.turn == BATCHES * len(owned)
        with closing(sqlite3.connect(state / f"rank-{rank}/log.sqlite")) as log:
            assert log.execute("SELECT count(*) FROM batches").fetchone() == (one.turn,)


def test_ranks_refuse_to_replay_while_they_wait() -> None:
    with pytest.raises(ConfigError, match='"replay" is for one process: take "stream"'):
        settings_of_rank(Group(rank=0, size=2), TrainerSettings(schedule="replay"))
