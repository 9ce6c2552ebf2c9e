"""Weights come from safetensors of the same network; only the classifier may differ."""

from pathlib import Path

import pytest
import torch
from hiertk.models import NetworkSpec, load_weights, open_network
from hiertk_protocol.errors import ModelError
from networks import network
from safetensors.torch import save_file
from torch import nn


def resnet18(slots: int, seed: int) -> nn.Module:
    return network(slots=slots, seed=seed).model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "resnet18.safetensors"
    save_file(resnet18(16, seed=1).state_dict(), path)
    return path


def test_all_weights_are_taken(saved: Path) -> None:
    opened = network(seed=2)
    model = opened.model
    assert load_weights(opened, saved) == []
    wanted = resnet18(16, seed=1).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())


def test_a_classifier_of_another_class_count_is_left_and_named(saved: Path) -> None:
    opened = network(slots=32, seed=2)
    model = opened.model
    before = model.get_parameter("fc.weight").clone()
    assert load_weights(opened, saved) == ["fc.weight", "fc.bias"]
    assert torch.equal(model.get_parameter("fc.weight"), before)
    assert torch.equal(
        model.get_parameter("conv1.weight"), resnet18(16, 1).get_parameter("conv1.weight")
    )


def test_weights_of_another_network_are_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match="is of another network: it lacks 30 tensors"):
        load_weights(network("vgg16"), saved)


def test_weights_of_another_stem_are_refused(saved: Path) -> None:
    small = open_network(NetworkSpec("resnet18", 16, 32, "3x3"))
    with pytest.raises(ModelError, match=r"conv1.weight has shape \(64, 3, 7, 7\)"):
        load_weights(small, saved)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 100])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a safetensors file"):
        load_weights(network(), path)
