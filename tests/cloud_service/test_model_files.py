"""The trained model as files: what is merged computes what device and cloud compute together."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from cloud_service.still_view import StillView, serving
from hiertk.export.job import export_bundle
from hiertk.export.settings import ExportSettings
from hiertk.models import Sides, load_cloud_partition
from hiertk_cloud.api.models import router
from hiertk_cloud.conversion.modules import MergedModel, rebuild_sides
from hiertk_cloud.conversion.weights import load_edge_weights
from hiertk_cloud.model_files import CloudWeights, ModelFiles
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.engines.ort_engine import import_engine
from hiertk_edge.golden import GoldenSteps
from hiertk_edge.weights import write_edge_weights
from hiertk_protocol.bundle import EDGE_WEIGHTS_FORMAT, Bundle
from hiertk_protocol.errors import ModelError
from safetensors.torch import load, load_file, save_file
from torch import Tensor, nn

CLOUD_STEP = 7
Outputs = list[npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Deployment:
    """A device and a cloud partition that have both been trained, apart from each other."""

    bundle: Bundle
    cloud: nn.Module
    edge: Path
    images: npt.NDArray[np.float32]
    device_features: npt.NDArray[np.float32]
    device_logits: npt.NDArray[np.float32]

    def cloud_logits(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            logits = self.cloud(torch.from_numpy(features))
        wanted: npt.NDArray[np.float32] = logits.numpy() + self.bundle.manifest.classes.bias()
        return wanted


@pytest.fixture(scope="module")
def deployment(resnet18_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return deploy(resnet18_bundle, tmp_path_factory.mktemp("device"))


def deploy(bundle: Bundle, folder: Path) -> Deployment:
    learner, golden = open_learner(bundle), GoldenSteps(bundle)
    for images, labels in zip(golden.images, golden.labels, strict=True):
        learner.step(images, labels)
    learner.save(folder / "checkpoint")
    write_edge_weights(bundle, folder / "checkpoint", folder / "edge.safetensors")
    seen = learner.evaluate(golden.images[0], golden.labels[0])
    cloud = load_cloud_partition(bundle).train()
    with torch.no_grad():
        for _ in range(3):  # as training would, it moves the running statistics
            cloud(torch.from_numpy(seen.features))
    return Deployment(
        bundle=bundle,
        cloud=cloud.eval(),
        edge=folder / "edge.safetensors",
        images=golden.images[0],
        device_features=seen.features,
        device_logits=seen.logits,
    )


@pytest.fixture(scope="module")
def sides(deployment: Deployment) -> Sides:
    return rebuild_sides(deployment.bundle.manifest, trusted_factory=None)


@pytest.fixture
def files(deployment: Deployment, tmp_path: Path) -> ModelFiles:
    def snapshot() -> CloudWeights:
        tensors = {name: value.clone() for name, value in deployment.cloud.state_dict().items()}
        return CloudWeights(CLOUD_STEP, tensors)

    return ModelFiles(deployment.bundle.manifest, snapshot, folder=tmp_path / "making")


@pytest.fixture
def client(files: ModelFiles, tmp_path: Path) -> Iterator[httpx2.Client]:
    """Through the whole server, whose guard bounds every other body."""
    with (
        serving(StillView(), tmp_path, routers=[router(files)]) as server,
        httpx2.Client(base_url=server.url, timeout=120) as client,
    ):
        yield client


def run_onnx(content: bytes, **inputs: npt.NDArray[np.float32]) -> tuple[Outputs, dict[str, str]]:
    runtime, _ = import_engine()
    session = runtime.InferenceSession(content)
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return session.run(None, inputs), metadata


def merge(client: httpx2.Client, edge: Path, file_format: str = "safetensors") -> Any:
    return client.post(f"/api/models/merged?format={file_format}", content=edge.read_bytes())


def close(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_the_cloud_partition_comes_as_it_predicts(
    client: httpx2.Client, deployment: Deployment, files: ModelFiles
) -> None:
    manifest = deployment.bundle.manifest
    answer = client.get("/api/models/cloud")
    assert answer.status_code == 200
    assert f'{manifest.deployment}-cloud-7.safetensors"' in answer.headers["Content-Disposition"]
    tensors = load(answer.content)
    for name, value in deployment.cloud.state_dict().items():
        assert torch.equal(tensors[name], value), name
    (length,) = np.frombuffer(answer.content[:8], "<u8")
    metadata = json.loads(answer.content[8 : 8 + int(length)])["__metadata__"]
    assert metadata["bundle_id"] == manifest.bundle_id.hex()
    assert (metadata["cloud_step"], metadata["model"], metadata["split"]) == ("7", "resnet18", "2")
    assert tuple(json.loads(metadata["class_names"])) == manifest.classes.names

    answer = client.get("/api/models/cloud?format=onnx")
    features = deployment.device_features[:3]  # another number of samples than it was traced with
    (logits,), found = run_onnx(answer.content, features=features)
    assert close(logits, deployment.cloud_logits(features))
    assert found == metadata
    assert not any(files.folder.iterdir())


def test_the_merged_model_computes_what_device_and_cloud_compute_together(
    client: httpx2.Client, deployment: Deployment, sides: Sides
) -> None:
    answer = merge(client, deployment.edge, "onnx")
    assert answer.status_code == 200, answer.text
    (final, early), metadata = run_onnx(answer.content, images=deployment.images)
    assert close(early, deployment.device_logits)
    assert close(final, deployment.cloud_logits(deployment.device_features))
    assert (metadata["cloud_step"], metadata["edge_step"]) == ("7", "3")

    merged = MergedModel(sides.edge, sides.cloud, deployment.bundle.manifest.classes)
    merged.load_state_dict(load(merge(client, deployment.edge).content), strict=False)
    with torch.no_grad():
        final_torch, early_torch = merged.eval()(torch.from_numpy(deployment.images))
    assert close(final, final_torch.numpy())
    assert close(early, early_torch.numpy())


@pytest.mark.parametrize("backend", ["onnxruntime", "executorch", "torch"])
def test_a_cloud_computes_a_bottlenecks_features_as_well(backend: str, tmp_path: Path) -> None:
    bundle = export_bundle(
        ExportSettings(
            model="resnet18",
            split=1,
            target="linux",
            backend=backend,
            bottleneck=24,
            batch_size=8,
            classes=("a", "b"),
            out=tmp_path / "bundle",
        )
    ).bundle
    device = deploy(bundle, tmp_path)
    edge = rebuild_sides(bundle.manifest, trusted_factory=None).edge.eval()
    load_edge_weights(device.edge, edge, bundle.manifest.bundle_id)
    bias = torch.from_numpy(bundle.manifest.classes.bias())
    with torch.no_grad():
        logits, features = edge(torch.from_numpy(device.images), bias)
    assert features.shape[1] == 24
    assert close(device.device_features, features.numpy())
    assert close(device.device_logits, logits.numpy())


def test_without_a_devices_weights_nothing_merged_is_offered(client: httpx2.Client) -> None:
    answer = client.get("/api/models/merged")
    assert answer.status_code == 409
    assert "hiertk-edge weights" in answer.json()["detail"]
    assert client.post("/api/models/merged").status_code == 422


def _without_one(tensors: dict[str, Tensor]) -> None:
    del tensors["exit.bias"]


def _misshapen(tensors: dict[str, Tensor]) -> None:
    tensors["exit.bias"] = tensors["exit.bias"][1:].clone()


def _not_finite(tensors: dict[str, Tensor]) -> None:
    tensors["exit.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_without_one, "'exit.bias' is missing"),
        (_misshapen, r"exit.bias is torch.float32 \(15,\), not torch.float32 \(16,\)"),
        (_not_finite, "exit.bias is not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_reason(
    deployment: Deployment,
    sides: Sides,
    tmp_path: Path,
    spoil: Callable[[dict[str, Tensor]], None],
    why: str,
) -> None:
    tensors = load_file(deployment.edge)
    spoil(tensors)
    bundle_id = deployment.bundle.manifest.bundle_id
    metadata = {"format": EDGE_WEIGHTS_FORMAT, "bundle_id": bundle_id.hex(), "edge_step": "3"}
    save_file(tensors, tmp_path / "bad", metadata)
    with pytest.raises(ModelError, match=why):
        load_edge_weights(tmp_path / "bad", sides.edge, bundle_id)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({}, "not a file of edge weights"),
        ({"format": EDGE_WEIGHTS_FORMAT, "bundle_id": "ab" * 32}, "of bundle 'abababababababab'"),
        ({"format": EDGE_WEIGHTS_FORMAT, "bundle_id": "own", "edge_step": "-1"}, "edge step '-1'"),
    ],
)
def test_weights_of_something_else_are_refused(
    deployment: Deployment, sides: Sides, tmp_path: Path, metadata: dict[str, str], why: str
) -> None:
    bundle_id = deployment.bundle.manifest.bundle_id
    if metadata.get("bundle_id") == "own":
        metadata["bundle_id"] = bundle_id.hex()
    save_file(load_file(deployment.edge), tmp_path / "bad", metadata)
    with pytest.raises(ModelError, match=why):
        load_edge_weights(tmp_path / "bad", sides.edge, bundle_id)


def test_a_body_that_is_no_such_file_or_too_large_is_refused_and_leaves_nothing(
    client: httpx2.Client, deployment: Deployment, files: ModelFiles, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"\xff" * 1000)
    answer = merge(client, bad)
    assert (answer.status_code, answer.json()["detail"][:24]) == (422, "not a safetensors file: ")
    bad.write_bytes(bytes(files.max_edge_bytes + 1))
    assert merge(client, bad).status_code == 413
    assert not any(files.folder.iterdir())
    assert deployment.edge.stat().st_size < files.max_edge_bytes


def test_one_conversion_at_a_time_and_what_a_crash_left_is_removed(
    client: httpx2.Client, deployment: Deployment, files: ModelFiles
) -> None:
    begun = threading.Event()
    go_on = threading.Event()

    def slow_snapshot() -> CloudWeights:
        begun.set()
        assert go_on.wait(30)
        return CloudWeights(0, {"w": torch.zeros(1)})

    files.snapshot, quick = slow_snapshot, files.snapshot
    first = threading.Thread(target=lambda: client.get("/api/models/cloud"))
    first.start()
    assert begun.wait(30)
    answer = merge(client, deployment.edge)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    go_on.set()
    first.join()
    files.snapshot = quick
    assert client.get("/api/models/cloud").status_code == 200

    (files.folder / "left").mkdir()
    again = ModelFiles(files.manifest, files.snapshot, folder=files.folder)
    assert not files.folder.exists()
    killed = again.begin()
    assert killed is not None
    with killed, closing(killed.cloud("safetensors").content) as content:
        assert again.begin() is None
        assert content.read(8)


def test_code_that_nobody_trusts_is_not_run(deployment: Deployment) -> None:
    manifest = deployment.bundle.manifest
    named = manifest.model.model_copy(update={"name": "os:getcwd"})
    with pytest.raises(ModelError, match="os:getcwd"):
        rebuild_sides(manifest.model_copy(update={"model": named}), trusted_factory=None)
