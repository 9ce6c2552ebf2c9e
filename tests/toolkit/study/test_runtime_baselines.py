"""The baselines really learn, through a real broker; split learning is undivided training."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hiertk.brokers import Broker, installed_broker
from hiertk.data import load, write_image_folder
from hiertk.export.settings import IMAGENET_MEAN, IMAGENET_STD
from hiertk.models import open_network
from hiertk.study.runtime.baselines import cloud, device
from hiertk.study.runtime.baselines.networks import (
    cloud_partition,
    edge_partition,
    spec_of,
    whole_network,
)
from hiertk.study.runtime.baselines.pieces import Batch, Kind
from hiertk.study.runtime.baselines.role import Payload, Role
from hiertk.study.runtime.baselines.split import (
    SplitCloud,
    SplitEdge,
    adamw,
    features_batch,
    gradients_batch,
    labels_of,
    tensor_of,
)
from hiertk.study.runtime.baselines.wire import WINDOW, Wire
from hiertk.study.runtime.telling import weights_of
from hiertk.training import FullCloudTraining
from hiertk_edge.images import normalize
from hiertk_protocol.errors import ProtocolError, TransportError
from hiertk_protocol.manifest import InputInfo
from safetensors.torch import load_file, save_file

CLASSES = load("fashion-mnist-mini", "test").classes
SPLIT = 4
IMAGES, BATCH, EPOCHS = 64, 16, 3


@pytest.fixture(scope="module")
def one_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with installed_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "images"
    write_image_folder(load("fashion-mnist-mini", "train"), range(IMAGES), folder)
    return folder


def role_of(payload: Payload, broker: str = "mqtt://127.0.0.1", **more: Any) -> Role:
    settings: dict[str, Any] = {
        "broker": broker,
        "payload": payload,
        "model": "resnet18",
        "classes": CLASSES,
        "input": InputInfo(size=32, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        "split": SPLIT,
        "batch_size": BATCH,
        "batches": IMAGES // BATCH,
        "epochs": EPOCHS,
        "rate": 1e-3,
        "every": IMAGES // BATCH,
    }
    return Role.model_validate(settings | more)


def first_weights(role: Role, folder: Path) -> Path:
    path = folder / "edge.safetensors"
    torch.manual_seed(role.seed)
    save_file(open_network(spec_of(role)).cut(SPLIT).edge.state_dict(), path)
    return path


def labelled(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 32, 32, generator=random), torch.arange(8) % 4) for _ in range(count)
    ]


def divided(role: Role, folder: Path, steps: int) -> tuple[SplitEdge, SplitCloud]:
    """Train in two places, each message as it is on the wire."""
    edge = SplitEdge(edge_partition(role), role.rate)
    behind = SplitCloud(cloud_partition(role), role.rate)
    is_half = role.payload == "fp16"
    for number, (inputs, labels) in enumerate(labelled(steps), start=1):
        features = edge.forward(inputs)
        sent = features_batch(features, labels.numpy(), number, is_half=is_half)
        gradients = behind.gradients(tensor_of(sent, Kind.FEATURES), labels)
        back = gradients_batch(gradients, number, is_half=is_half)
        behind.update()
        edge.update(features, tensor_of(back, Kind.GRADIENTS, features.shape))
    return edge, behind


def test_split_learning_is_undivided_training_step_by_step(tmp_path: Path) -> None:
    role = role_of("fp32")
    role = role.model_copy(update={"weights": first_weights(role, tmp_path)})
    model = whole_network(role)
    whole = FullCloudTraining(model, adamw(model, role.rate), torch.zeros(len(CLASSES)))
    for inputs, labels in labelled(4):
        whole.step(inputs, labels)
    edge, behind = divided(role, tmp_path, 4)
    found = weights_of(edge.module) | weights_of(behind.module)
    wanted = weights_of(model)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_half_precision_gradients_are_scaled_so_that_small_ones_survive() -> None:
    small = torch.full((2, 1, 2, 2), 1e-9)
    back = gradients_batch(small, 1, is_half=True)
    assert back.values is not None
    assert back.values.dtype == np.float16
    np.testing.assert_allclose(tensor_of(back, Kind.GRADIENTS).numpy(), small.numpy(), rtol=1e-3)
    nothing = gradients_batch(torch.zeros(2, 1, 2, 2), 1, is_half=True)
    assert not tensor_of(nothing, Kind.GRADIENTS).any()


@pytest.mark.parametrize("payload", ["raw", "png", "jpeg", "fp32", "fp16"])
def test_a_baseline_learns_its_images_through_a_broker(
    payload: Payload,
    one_broker: Broker,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    role = role_of(payload, one_broker.url, images=images, snapshots=tmp_path, epochs=4)
    role = role.model_copy(update={"weights": first_weights(role, tmp_path)})
    with ThreadPoolExecutor(2) as both:
        behind = both.submit(cloud.main, role)
        while '"ready"' not in capsys.readouterr().out:
            assert not behind.done(), behind.result()
            time.sleep(0.05)
        both.submit(device.main, role).result()
        behind.result()
    before, after = (_accuracy(role, images, tmp_path, epoch) for epoch in (0, 4))
    assert before < 0.3
    assert after > 0.8


def _accuracy(role: Role, images: Path, folder: Path, epoch: int) -> float:
    """Return the share of right answers on the training images, in training's own statistics."""
    model = whole_network(role)
    if epoch:
        files = sorted(folder.glob(f"*-{epoch * role.batches:08d}.safetensors"))
        model.load_state_dict(
            {name: one for file in files for name, one in load_file(file).items()}
        )
    model.train()
    passes = list(device._images(role, role.input, 1))
    answers = [model(torch.from_numpy(one.images)).argmax(1).numpy() for one in passes]
    wanted = np.concatenate([one.labels for one in passes])
    return float(np.mean(np.concatenate(answers) == wanted))


def test_png_keeps_each_pixel_and_jpeg_is_near_and_smaller(images: Path) -> None:
    info = InputInfo(size=32, mean=(0, 0, 0), std=(1, 1, 1))
    role = role_of("png", images=images)
    found = next(device._images(role, info, 1))
    pixels = np.rint(found.images * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    as_png = device.as_sent(role, pixels, found)
    np.testing.assert_array_equal(cloud.pixels_of(as_png, 32), pixels)
    as_jpeg = device.as_sent(role_of("jpeg"), pixels, found)
    near = cloud.pixels_of(as_jpeg, 32).astype(int) - pixels
    assert np.abs(near).mean() < 8
    assert normalize(pixels, role.input).shape == (BATCH, 3, 32, 32)


def test_a_cloud_refuses_what_is_no_image_of_its_size_and_no_label_of_its_classes() -> None:
    labels = np.zeros(1, np.int64)
    with pytest.raises(ProtocolError, match="not an image"):
        cloud.pixels_of(Batch(Kind.FILES, 1, labels, files=(b"nothing",)), 32)
    wrong = Batch(Kind.PIXELS, 1, labels, values=np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(ProtocolError, match="shape"):
        cloud.pixels_of(wrong, 32)
    with pytest.raises(ProtocolError, match="labels"):
        labels_of(Batch(Kind.PIXELS, 1, labels + 10, values=wrong.values), 10)
    with pytest.raises(ProtocolError, match="instead of"):
        tensor_of(wrong, Kind.FEATURES)


def test_a_sender_waits_while_the_window_is_full(one_broker: Broker) -> None:
    batch = Batch(Kind.PIXELS, 1, np.zeros(2, np.int64), values=np.zeros((2, 4, 4, 3), np.uint8))
    with Wire(one_broker.url, "cloud") as behind, Wire(one_broker.url, "device") as front:
        with ThreadPoolExecutor(1) as sender:
            for _ in range(WINDOW):
                front.send(batch)
            waiting = sender.submit(front.send, batch)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
            behind.acknowledge(behind.receive())
            waiting.result(10)
        for _ in range(WINDOW):
            behind.acknowledge(behind.receive())
        front.drain()


def test_garbage_on_the_topic_ends_a_cell_with_an_error(one_broker: Broker) -> None:
    with Wire(one_broker.url, "cloud") as behind, Wire(one_broker.url, "device") as front:
        front._publish(front._batches_topic, b"garbage that is no piece of a batch")
        with pytest.raises(ProtocolError):
            behind.receive()


def test_a_side_that_fails_tells_the_other_why(one_broker: Broker) -> None:
    def fail() -> None:
        with Wire(one_broker.url, "cloud"):
            raise ProtocolError("out of its mind")

    with Wire(one_broker.url, "device") as front:
        with pytest.raises(ProtocolError):
            fail()
        with pytest.raises(TransportError, match="the cloud is gone: out of its mind"):
            front.receive()


def test_a_broken_link_ends_a_cell_with_an_error(tmp_path: Path) -> None:
    with installed_broker(tmp_path / "broker") as broker, Wire(broker.url, "device") as front:
        broker.kill()
        with pytest.raises(TransportError):
            front.receive()


def test_the_uploading_device_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, hiertk.study.runtime.baselines.device; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
