"""The learner on the real engine: equal to PyTorch, strict about labels, exact about resuming."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hiertk.data import load
from hiertk_edge.golden import GoldenSteps, verify_golden
from hiertk_edge.learner import Float32Array, SlotArray, open_learner
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError, ParityError
from networks import resnet18_sides
from safetensors.numpy import load_file, save_file
from torch.nn.functional import cross_entropy


def batches(bundle: Bundle, count: int, size: int = 16) -> list[tuple[Float32Array, SlotArray]]:
    images, labels = load("fashion-mnist-mini", "train").tensors(
        range(count * size), bundle.manifest.input
    )
    return [
        (images[start : start + size].numpy(), labels[start : start + size].numpy())
        for start in range(0, count * size, size)
    ]


def test_twenty_steps_follow_pytorch(resnet18_bundle: Bundle) -> None:
    reference = resnet18_sides(2).edge.train()
    optimizer = torch.optim.AdamW(reference.parameters(), lr=1e-3, weight_decay=0)
    bias = torch.from_numpy(resnet18_bundle.manifest.classes.bias())
    learner = open_learner(resnet18_bundle)
    differences = []
    for images, labels in batches(resnet18_bundle, 20):
        result = learner.step(images, labels)
        logits, _ = reference(torch.from_numpy(images), bias)
        loss = cross_entropy(logits, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        differences.append(abs(result.loss - loss.item()))
    assert learner.edge_step == 20
    assert differences[0] < 1e-5
    assert max(differences) < 0.05


def test_training_learns_and_evaluation_changes_nothing(resnet18_bundle: Bundle) -> None:
    learner = open_learner(resnet18_bundle)
    (images, labels), *_ = batches(resnet18_bundle, 1, size=32)
    losses = [learner.step(images, labels).loss for _ in range(12)]
    assert losses[-1] < 0.6 * losses[0]
    first = learner.evaluate(images, labels)
    second = learner.evaluate(images, labels)
    assert np.array_equal(first.logits, second.logits)
    assert learner.edge_step == 12
    assert first.predictions.max() < 10


@pytest.mark.parametrize("size", [2, 7, 33])
def test_any_batch_size_trains(resnet18_bundle: Bundle, size: int) -> None:
    (images, labels), *_ = batches(resnet18_bundle, 1, size=size)
    result = open_learner(resnet18_bundle).step(images, labels)
    assert result.features.shape == (size, *resnet18_bundle.manifest.features.shape)
    assert result.logits.shape == (size, 16)
    assert np.isfinite(result.loss)


def test_a_resumed_learner_is_bit_equal(resnet18_bundle: Bundle, tmp_path: Path) -> None:
    data = batches(resnet18_bundle, 8)
    learner = open_learner(resnet18_bundle)
    for images, labels in data[:4]:
        learner.step(images, labels)
    learner.save(tmp_path / "checkpoint")
    resumed = open_learner(resnet18_bundle, checkpoint=tmp_path / "checkpoint")
    assert resumed.edge_step == 4
    for images, labels in data[4:]:
        assert learner.step(images, labels).loss == resumed.step(images, labels).loss
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("label", [-1, 10, 15, 16])
def test_a_label_without_an_open_slot_is_refused(resnet18_bundle: Bundle, label: int) -> None:
    (images, labels), *_ = batches(resnet18_bundle, 1)
    labels[3] = label
    learner = open_learner(resnet18_bundle)
    with pytest.raises(ConfigError, match=rf"label {label} has no class"):
        learner.step(images, labels)
    assert learner.edge_step == 0


def test_inputs_of_another_shape_or_type_are_refused(resnet18_bundle: Bundle) -> None:
    (images, labels), *_ = batches(resnet18_bundle, 1)
    learner = open_learner(resnet18_bundle)
    with pytest.raises(ConfigError, match="images must be"):
        learner.step(images[:, :, :16], labels)
    with pytest.raises(ConfigError, match="images must be"):
        learner.step(images.astype(np.float64), labels)
    with pytest.raises(ConfigError, match="labels must be"):
        learner.step(images, labels[:3])


def test_a_checkpoint_of_another_bundle_is_refused(resnet18_bundle: Bundle, tmp_path: Path) -> None:
    open_learner(resnet18_bundle).save(tmp_path / "checkpoint")
    other = Bundle(
        resnet18_bundle.folder, resnet18_bundle.manifest.model_copy(update={"target": "android"})
    )
    with pytest.raises(BundleError, match="a checkpoint of another bundle"):
        open_learner(other, checkpoint=tmp_path / "checkpoint")


@pytest.mark.parametrize("keep", [0, 100, 300_000])
def test_a_truncated_checkpoint_is_refused(
    resnet18_bundle: Bundle, tmp_path: Path, keep: int
) -> None:
    path = tmp_path / "checkpoint"
    open_learner(resnet18_bundle).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="is no checkpoint of this engine"):
        open_learner(resnet18_bundle, checkpoint=path)


def test_a_bundle_of_another_engine_version_is_refused(resnet18_bundle: Bundle) -> None:
    engine = resnet18_bundle.manifest.engine.model_copy(update={"version": "1.18.0"})
    manifest = resnet18_bundle.manifest.model_copy(update={"engine": engine})
    with pytest.raises(BundleError, match=r"is for onnxruntime-training-cpu 1\.18\.0"):
        open_learner(Bundle(resnet18_bundle.folder, manifest))


def test_golden_steps_are_checked(resnet18_bundle: Bundle, tmp_path: Path) -> None:
    checks = verify_golden(resnet18_bundle)
    assert [check.what for check in checks][:2] == ["features of step 0", "logits of step 0"]
    shutil.copytree(resnet18_bundle.folder, tmp_path / "copy")
    path = tmp_path / "copy" / "golden" / "steps.safetensors"
    tensors = load_file(path)
    tensors["features"][0, 0, 0, 0] += 0.01
    save_file(tensors, path)
    with pytest.raises(ParityError, match="features of step 0 differs"):
        verify_golden(Bundle(tmp_path / "copy", resnet18_bundle.manifest))
    save_file({"images": tensors["images"]}, path)
    with pytest.raises(BundleError, match="golden"):
        GoldenSteps(Bundle(tmp_path / "copy", resnet18_bundle.manifest))


def test_the_device_never_imports_torch_onnx_or_the_toolkit(resnet18_bundle: Bundle) -> None:
    """Where both are installed, in a fresh interpreter that has really trained."""
    code = f"""
import pathlib, sys
import numpy as np
from hiertk_protocol.bundle import open_bundle
from hiertk_edge.learner import open_learner
import hiertk_edge.agent, hiertk_edge.cli, hiertk_edge.device, hiertk_edge.golden
learner = open_learner(open_bundle(pathlib.Path({str(resnet18_bundle.folder)!r})))
learner.step(np.zeros((2, 3, 32, 32), np.float32), np.zeros(2, np.int64))
print(sorted(set(sys.modules) & {{"torch", "onnx", "hiertk", "hiertk_cloud", "torchvision"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
