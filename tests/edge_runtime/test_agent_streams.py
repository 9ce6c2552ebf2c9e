"""The whole device on streams: images come while it trains, predicts and sends."""

import contextlib
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from edge_configs import changed, edge_config
from edge_parts import CLASSES, DEVICE, make_manifest, write_bundle, write_images
from hiertk.brokers import MosquittoBroker
from hiertk_edge.config import EdgeConfig
from hiertk_edge.device import OpenEngine, run_device
from hiertk_edge.rehearsal import RehearsalMemory
from hiertk_edge.status.file import Status, read_status
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_edge.watch import Outcome, Watch
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch
from mqtt_client import wait_until
from numpy_learner import open_numpy_learner
from tiny_cloud import TinyCloud

MANIFEST = make_manifest()
PATIENCE_S = 30.0


class Running:
    """A device in a thread, stopped when the block ends."""

    def __init__(self, config: EdgeConfig, open_engine: OpenEngine = open_numpy_learner) -> None:
        self._config = config
        self._open_engine = open_engine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.statuses: list[DeviceStatus] = []
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None

    @property
    def newest(self) -> DeviceStatus:
        return self.statuses[-1] if self.statuses else DeviceStatus()

    def wait(self, condition: Callable[[DeviceStatus], bool]) -> None:
        wait_until(
            lambda: self.error is not None or (bool(self.statuses) and condition(self.newest)),
            PATIENCE_S,
        )
        assert self.error is None, self.error

    def wait_until_kept(self, images: int) -> None:
        """Wait until so many images have come, and all of them are trained on or held out."""
        self.wait(lambda one: (one.rehearsal_samples, one.waiting_samples) == (images, 0))

    def _run(self) -> None:
        watch = Watch(self._stop.is_set, self.statuses.append)
        try:
            self.outcome = run_device(self._config, watch, open_engine=self._open_engine)
        except BaseException as error:  # noqa: BLE001  (told where it is waited for)
            self.error = error

    def __enter__(self) -> "Running":  # noqa: PYI034
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def watching(tmp_path: Path) -> EdgeConfig:
    """A device that watches an empty folder, offline."""
    (tmp_path / "inbox").mkdir()
    return edge_config(
        write_bundle(tmp_path / "bundle"),
        tmp_path / "state",
        streams=(f"watch:{tmp_path / 'inbox'}",),
        rehearsal={"wait_s": 0.5, "held_out_share": 0.2},
        checkpoint={"every_s": 0, "every_steps": 5},
    )


@contextmanager
def opened_memory(config: EdgeConfig) -> Iterator[RehearsalMemory]:
    memory = RehearsalMemory(config.state / "memory.sqlite", manifest=MANIFEST, held_out_share=0.2)
    try:
        yield memory
    finally:
        memory.close()


def show(folder: Path, per_class: int, *, seed: int = 0) -> None:
    """Put images into the watched folder, as a camera's program does: by a rename."""
    made = write_images(folder.with_name(f"made-{seed}"), per_class, seed=seed)
    for name in CLASSES:
        (folder / name).mkdir(exist_ok=True)
        for image in (made / name).iterdir():
            shutil.move(image, folder / name / f"{seed}-{image.name}")


def test_images_that_are_put_into_a_folder_are_trained_on_once_and_kept(
    watching: EdgeConfig, tmp_path: Path, mosquitto: MosquittoBroker
) -> None:
    config = changed(watching, broker={"url": mosquitto.url})
    with TinyCloud(mosquitto.url, MANIFEST.deployment, DEVICE) as cloud, Running(config) as device:
        device.wait(lambda status: status.state == DeviceStatus.WAITING)
        show(tmp_path / "inbox", 10)
        device.wait_until_kept(30)
        device.wait(lambda status: status.spool_batches == 0)
        sent = Counter(
            slot
            for batch in cloud.batches.values()
            if batch.purpose == FeatureBatch.TRAIN
            for slot in batch.labels
        )
    with opened_memory(config) as memory:
        counts = memory.counts
    assert {slot: one.seen + one.held_out for slot, one in counts.items()} == {0: 10, 1: 10, 2: 10}
    assert all(sent[slot] >= one.seen for slot, one in counts.items()), "rehearsed ones along"
    assert device.outcome is not None
    assert device.outcome.status.edge_step > 0


def test_what_was_shown_before_is_rehearsed_and_measured_and_calibrates(
    watching: EdgeConfig, tmp_path: Path
) -> None:
    show(tmp_path / "inbox", 40)
    with Running(watching) as device:
        device.wait_until_kept(120)
    newest = Checkpoints(watching.state / "checkpoints", MANIFEST.bundle_id).newest()
    assert newest is not None
    with opened_memory(watching) as memory:
        fresh = sum(one.seen for one in memory.counts.values())
    # Batches of 4, half of each rehearsed: some 50 % more steps than without.
    assert newest.record.edge_step >= fresh / 4 * 1.5
    assert device.newest.early_exit_held_out_accuracy > 0.9


def test_it_goes_on_where_it_was_stopped(watching: EdgeConfig, tmp_path: Path) -> None:
    show(tmp_path / "inbox", 5)
    with Running(watching) as device:
        device.wait_until_kept(15)
        steps = device.newest.edge_step
    with Running(watching) as device:
        device.wait(lambda status: status.state == DeviceStatus.WAITING)
        assert device.newest.edge_step == steps, "nothing is trained twice"
        show(tmp_path / "inbox", 5, seed=1)
        device.wait(lambda status: status.edge_step > steps and not status.waiting_samples)


def test_a_checkpoint_is_written_while_nothing_comes(watching: EdgeConfig, tmp_path: Path) -> None:
    show(tmp_path / "inbox", 4)
    config = changed(watching, checkpoint={"every_steps": 1_000_000, "every_s": 2})
    with Running(config) as device:
        device.wait_until_kept(12)
        wait_until(lambda: checkpoint_step(config) == device.newest.edge_step > 0, PATIENCE_S)


def checkpoint_step(config: EdgeConfig) -> int:
    newest = Checkpoints(config.state / "checkpoints", MANIFEST.bundle_id).newest()
    return 0 if newest is None else newest.record.edge_step


def test_bad_and_mislabelled_files_are_counted_and_the_rest_is_trained_on(
    watching: EdgeConfig, tmp_path: Path
) -> None:
    (tmp_path / "inbox/red").mkdir()
    (tmp_path / "inbox/red/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "inbox/purple").mkdir()
    shutil.copy(
        next((write_images(tmp_path / "other", 1) / "red").iterdir()),
        tmp_path / "inbox/purple/one.jpg",
    )
    show(tmp_path / "inbox", 4)
    with Running(watching) as device:
        device.wait(lambda status: status.bad_images == 1 and status.mislabelled_images == 1)
        device.wait_until_kept(12)


def test_data_is_gone_through_first_and_streams_go_on_after_it(
    watching: EdgeConfig, tmp_path: Path
) -> None:
    data = write_images(tmp_path / "data", 4)
    config = changed(watching, data=f"folder:{data}", training={"epochs": 2})
    with Running(config) as device:
        device.wait(lambda status: status.edge_step == 6)
        device.wait(lambda status: status.state == DeviceStatus.WAITING)
        show(tmp_path / "inbox", 4)
        device.wait(lambda status: status.edge_step > 6 and not status.waiting_samples)


def test_a_program_of_the_machine_teaches_asks_and_corrects(
    watching: EdgeConfig, tmp_path: Path
) -> None:
    config = changed(watching, streams=(), endpoint={"listen": "127.0.0.1:0"})
    images = write_images(tmp_path / "images", 12)
    with Running(config) as device:
        device.wait(lambda status: status.state == DeviceStatus.WAITING)
        with client_of(config) as client:
            for name in CLASSES:
                for image in sorted((images / name).iterdir()):
                    assert (
                        client.post(
                            "/images", params={"label": name}, content=image.read_bytes()
                        ).status_code
                        == 202
                    )
            device.wait_until_kept(36)
            wait_until(lambda: answer(client, images / "green/000.jpg")["class"] == "green")
            wrong = answer(client, images / "blue/001.png")
            corrected = client.post(
                "/corrections", json={"prediction": wrong["id"], "label": "red"}
            )
            assert corrected.status_code == 202
            device.wait(lambda status: status.predictions_total >= 2)
    assert device.newest.predictions_by_cloud == 0


@contextmanager
def client_of(config: EdgeConfig) -> Iterator[httpx2.Client]:
    wait_until(lambda: status_of(config).endpoint != "", PATIENCE_S)
    token = (config.state / "endpoint-token").read_text().strip()
    with httpx2.Client(
        base_url=status_of(config).endpoint, headers={"Authorization": f"Bearer {token}"}
    ) as client:
        yield client


def status_of(config: EdgeConfig) -> Status:
    status = read_status(config.state / "status.json")
    assert status is not None
    return status


def answer(client: httpx2.Client, image: Path) -> dict[str, object]:
    reply = client.post("/predictions", content=image.read_bytes())
    assert reply.status_code == 200, reply.text
    found: dict[str, object] = reply.json()
    return found


def test_heat_pauses_training_and_not_predictions(
    watching: EdgeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = tmp_path / "thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("91000\n")
    monkeypatch.setattr("hiertk_edge.care.sensors.THERMAL", tmp_path / "thermal")
    config = changed(watching, endpoint={"listen": "127.0.0.1:0"})
    image = next((write_images(tmp_path / "images", 1) / "red").iterdir())
    with Running(config) as device:
        device.wait(lambda status: status.state == DeviceStatus.PAUSED)
        assert any("training pauses at 91 C" in line for line in device.newest.problems)
        show(tmp_path / "inbox", 4)
        device.wait(lambda status: status.waiting_samples > 8)
        with client_of(config) as client:
            assert answer(client, image)["by"] == "early exit"
        assert device.newest.edge_step == 0
        (zone / "temp").write_text("60000\n")
        device.wait(lambda status: status.edge_step > 0)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Give a folder a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def is_losing(status: DeviceStatus) -> bool:
    return any("features are lost" in line for line in status.problems)


def test_a_full_disk_is_told_and_lived_with_and_all_goes_on_when_there_is_room(
    watching: EdgeConfig, tmp_path: Path
) -> None:
    data = write_images(tmp_path / "data", 8)
    with small_disk(tmp_path / "disk", "8M"):
        config = changed(
            watching,
            state=tmp_path / "disk/state",
            data=f"folder:{data}",
            training={"epochs": 1000},
            checkpoint={"every_s": 1},
        )
        with Running(config) as device:
            device.wait(lambda status: status.edge_step > 20)
            filler = tmp_path / "disk/filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 16))
            device.wait(is_losing)
            at = device.newest.edge_step
            device.wait(lambda status: status.edge_step > at + 20)
            filler.unlink()
            device.wait(lambda status: not is_losing(status))
            held = device.newest.spool_batches
            device.wait(lambda status: status.spool_batches > held)
        assert device.outcome is not None
        assert not device.outcome.finished
        assert checkpoint_step(config) == device.outcome.status.edge_step
