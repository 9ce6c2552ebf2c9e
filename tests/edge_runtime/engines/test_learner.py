"""Every backend's learner: equal to PyTorch, strict about labels, exact about resuming."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hiertk.export.optimizer import torch_optimizer
from hiertk.export.parity import InspectableLearner
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.golden import GoldenSteps, verify_golden
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError, ParityError
from learner_parts import batches, equal, open_inspectable, reference_of
from safetensors.numpy import load_file, save_file
from torch.nn.functional import cross_entropy


def test_twenty_steps_follow_pytorch(learner_bundle: Bundle) -> None:
    reference = reference_of(learner_bundle).train()
    optimizer = torch_optimizer(reference, learner_bundle.manifest.optimizer)
    bias = torch.from_numpy(learner_bundle.manifest.classes.bias())
    learner = open_learner(learner_bundle)
    differences = []
    for images, labels in batches(learner_bundle, 20):
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


def test_training_learns_and_evaluation_changes_nothing(learner_bundle: Bundle) -> None:
    learner = open_learner(learner_bundle, learning_rate=5e-3)
    (images, labels), *_ = batches(learner_bundle, 1)
    losses = [learner.step(images, labels).loss for _ in range(25)]
    assert losses[-1] < 0.75 * losses[0]
    first = learner.evaluate(images, labels)
    second = learner.evaluate(images, labels)
    assert np.array_equal(first.logits, second.logits)
    assert learner.edge_step == 25
    assert first.predictions.max() < 10


@pytest.mark.parametrize("size", [2, 7, 33])
def test_a_batch_of_another_size_trains_or_is_refused(learner_bundle: Bundle, size: int) -> None:
    (images, labels), *_ = batches(learner_bundle, 1, size)
    learner = open_learner(learner_bundle)
    if learner.fixed_batch_size is None:
        assert learner.can_train(size)
    if learner.can_train(size):
        result = learner.step(images, labels)
        assert result.features.shape == (size, *learner_bundle.manifest.features.shape)
        assert result.logits.shape == (size, 16)
        assert np.isfinite(result.loss)
    else:
        with pytest.raises(ConfigError, match=f"a batch of {size}: this program trains on"):
            learner.step(images, labels)
        assert learner.edge_step == 0


@pytest.mark.parametrize("size", [1, 7, 33])
def test_any_number_of_images_is_evaluated(learner_bundle: Bundle, size: int) -> None:
    (images, labels), *_ = batches(learner_bundle, 1, size)
    learner = open_learner(learner_bundle)
    together = learner.evaluate(images, labels)
    assert together.features.shape == (size, *learner_bundle.manifest.features.shape)
    alone = [learner.evaluate(images[n : n + 1], labels[n : n + 1]) for n in range(size)]
    assert np.allclose(together.logits, np.concatenate([one.logits for one in alone]), atol=1e-5)
    assert together.loss == pytest.approx(np.mean([one.loss for one in alone]), abs=1e-5)


def test_a_resumed_learner_is_bit_equal(learner_bundle: Bundle, tmp_path: Path) -> None:
    data = batches(learner_bundle, 8)
    learner = open_learner(learner_bundle)
    for images, labels in data[:4]:
        learner.step(images, labels)
    learner.save(tmp_path / "checkpoint")
    resumed = open_learner(learner_bundle, checkpoint=tmp_path / "checkpoint")
    assert resumed.edge_step == 4
    for images, labels in data[4:]:
        assert learner.step(images, labels).loss == resumed.step(images, labels).loss
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    assert isinstance(learner, InspectableLearner)
    assert isinstance(resumed, InspectableLearner)
    assert equal(learner.parameters(), resumed.parameters())


@pytest.mark.parametrize("label", [-1, 10, 15, 16])
def test_a_label_without_an_open_slot_is_refused(learner_bundle: Bundle, label: int) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    labels[3] = label
    learner = open_inspectable(learner_bundle)
    before = learner.parameters()
    with pytest.raises(ConfigError, match=rf"label {label} has no class"):
        learner.step(images, labels)
    assert learner.edge_step == 0
    assert equal(before, learner.parameters())


def test_inputs_of_another_shape_or_type_are_refused(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    learner = open_learner(learner_bundle)
    with pytest.raises(ConfigError, match="images must be"):
        learner.step(images[:, :, :16], labels)
    with pytest.raises(ConfigError, match="images must be"):
        learner.step(images.astype(np.float64), labels)
    with pytest.raises(ConfigError, match="images must be"):
        learner.evaluate(images[:0], labels[:0])
    with pytest.raises(ConfigError, match="labels must be"):
        learner.step(images, labels[:3])


def test_images_that_cannot_be_written_to_are_trained_on(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    images.setflags(write=False)
    labels.setflags(write=False)
    assert np.isfinite(open_learner(learner_bundle).step(images, labels).loss)


def test_closed_slots_get_no_gradient(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    learner = open_inspectable(learner_bundle)
    learner.forward_backward(images, labels)
    gradients = learner.gradients()
    assert not gradients["exit.weight"][10:].any()
    assert not gradients["exit.bias"][10:].any()
    assert gradients["exit.weight"][:10].any()


def test_a_step_moves_by_the_learning_rate(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    learner = open_inspectable(learner_bundle)
    assert learner.learning_rate == learner_bundle.manifest.optimizer.learning_rate
    moved = []
    for rate in (0.1, 0.01):
        learner = open_inspectable(learner_bundle, rate)
        assert learner.learning_rate == rate
        before = learner.parameters()["exit.weight"]
        learner.step(images, labels)
        moved.append(learner.parameters()["exit.weight"] - before)
    assert np.allclose(moved[0], 10 * moved[1], atol=1e-5)
    assert np.abs(moved[0]).max() > 1e-4


@pytest.mark.parametrize("rate", [0, -0.1, 11, float("nan"), float("inf")])
def test_an_impossible_learning_rate_is_refused(learner_bundle: Bundle, rate: float) -> None:
    learner = open_learner(learner_bundle)
    with pytest.raises(ConfigError, match="learning rate"):
        learner.learning_rate = rate
    assert learner.learning_rate == learner_bundle.manifest.optimizer.learning_rate


def test_a_checkpoint_of_another_bundle_is_refused(learner_bundle: Bundle, tmp_path: Path) -> None:
    open_learner(learner_bundle).save(tmp_path / "checkpoint")
    other = Bundle(
        learner_bundle.folder, learner_bundle.manifest.model_copy(update={"target": "android"})
    )
    with pytest.raises(BundleError, match="a checkpoint of another bundle"):
        open_learner(other, checkpoint=tmp_path / "checkpoint")


@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_a_truncated_checkpoint_is_refused(
    learner_bundle: Bundle, tmp_path: Path, keep: int
) -> None:
    path = tmp_path / "checkpoint"
    open_learner(learner_bundle).save(path)
    assert path.stat().st_size > keep
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="is no checkpoint of this engine"):
        open_learner(learner_bundle, checkpoint=path)


def test_a_bundle_of_another_engine_version_is_refused(learner_bundle: Bundle) -> None:
    engine = learner_bundle.manifest.engine.model_copy(update={"version": "0.18.0"})
    manifest = learner_bundle.manifest.model_copy(update={"engine": engine})
    with pytest.raises(BundleError, match=r"the bundle is for \S+ 0\.18\.0, here is \d"):
        open_learner(Bundle(learner_bundle.folder, manifest))


def test_golden_steps_are_checked(learner_bundle: Bundle, tmp_path: Path) -> None:
    checks = verify_golden(learner_bundle)
    assert [check.what for check in checks][:2] == ["features of step 0", "logits of step 0"]
    shutil.copytree(learner_bundle.folder, tmp_path / "copy")
    path = tmp_path / "copy" / "golden" / "steps.safetensors"
    tensors = load_file(path)
    tensors["features"][0, 0, 0, 0] += 0.01
    save_file(tensors, path)
    with pytest.raises(ParityError, match="features of step 0 differs"):
        verify_golden(Bundle(tmp_path / "copy", learner_bundle.manifest))
    save_file({"images": tensors["images"]}, path)
    with pytest.raises(BundleError, match="golden"):
        GoldenSteps(Bundle(tmp_path / "copy", learner_bundle.manifest))


FORBIDDEN = {
    "onnxruntime": {"torch", "onnx", "hiertk", "hiertk_cloud", "torchvision"},
    "torch": {"torch._dynamo", "sympy", "onnx", "hiertk", "torchvision"},
    "executorch": {"torch._dynamo", "sympy", "executorch.exir", "onnx", "hiertk", "torchvision"},
}


def test_a_device_imports_no_more_than_its_backend(learner_bundle: Bundle) -> None:
    """Where all is installed, in a fresh interpreter that has really trained."""
    forbidden = FORBIDDEN[learner_bundle.manifest.engine.backend]
    samples = learner_bundle.manifest.engine.batch_size
    code = f"""
import pathlib, sys
import numpy as np
from hiertk_protocol.bundle import open_bundle
from hiertk_edge.engines.backends import open_learner
import hiertk_edge.agent, hiertk_edge.cli, hiertk_edge.device, hiertk_edge.golden
learner = open_learner(open_bundle(pathlib.Path({str(learner_bundle.folder)!r})))
images, labels = np.zeros(({samples}, 3, 32, 32), np.float32), np.zeros({samples}, np.int64)
learner.step(images, labels)
learner.evaluate(images, labels)
print(sorted(set(sys.modules) & {forbidden!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
