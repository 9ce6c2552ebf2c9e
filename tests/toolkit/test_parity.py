"""The gate catches what would train wrongly: each fault here was seen in a real exporter."""

import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from hiertk.export.parity import check_parity
from hiertk.export.rounding import Tolerances
from hiertk.models import EdgeModel
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ParityError
from networks import resnet18_sides

TOLERANCES = Tolerances(
    features=1e-4, gradient=1e-2, first_loss=1e-5, later_loss=0.1, zero_gradients=frozenset()
)


@pytest.fixture
def copy(resnet18_bundle: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(resnet18_bundle.folder, tmp_path / "copy")
    return Bundle(tmp_path / "copy", resnet18_bundle.manifest)


@pytest.fixture
def reference() -> EdgeModel:
    return resnet18_sides(2).edge


def edit(bundle: Bundle, name: str, change: Any) -> None:
    path = bundle.folder / "edge" / name
    model: Any = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)


def test_an_honest_export_passes(copy: Bundle, reference: EdgeModel) -> None:
    assert len(check_parity(copy, reference, TOLERANCES)) >= 8


def test_a_wrong_convolution_gradient_is_caught(copy: Bundle, reference: EdgeModel) -> None:
    def exchange(graph: Any) -> None:
        """Exchange the outputs of two weight gradients of the same shape."""
        nodes = [
            node for node in graph.node
            if node.op_type == "ConvGrad" and "layer1" in node.output[1]
        ]  # fmt: skip
        first, second = nodes[0], nodes[1]
        first.output[1], second.output[1] = second.output[1], first.output[1]

    edit(copy, "training_model.onnx", exchange)
    with pytest.raises(ParityError, match=r"gradients at partition\.layer1"):
        check_parity(copy, reference, TOLERANCES)


def test_gradients_under_each_others_names_are_caught(copy: Bundle, reference: EdgeModel) -> None:
    def shift(graph: Any) -> None:
        """Exchange scale and bias of a normalization: same shapes, wrong names."""
        node = next(node for node in graph.node if node.op_type == "BatchNormalizationGrad")
        node.output[1], node.output[2] = node.output[2], node.output[1]

    edit(copy, "training_model.onnx", shift)
    with pytest.raises(ParityError, match=r"gradients at partition\.[a-z0-9.]*bn"):
        check_parity(copy, reference, TOLERANCES)


def test_another_adam_is_caught(copy: Bundle, reference: EdgeModel) -> None:
    def other_epsilon(graph: Any) -> None:
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name == "epsilon":
                    attribute.f = 1e-3

    edit(copy, "optimizer_model.onnx", other_epsilon)
    with pytest.raises(ParityError, match=r"loss of step|updated parameters"):
        check_parity(copy, reference, TOLERANCES)


def test_weights_that_are_not_the_references_are_caught(copy: Bundle) -> None:
    other = resnet18_sides(2, seed=1).edge
    with pytest.raises(ParityError, match=r"gradients at"):
        check_parity(copy, other, TOLERANCES)


def test_parameters_of_another_cut_are_caught(copy: Bundle) -> None:
    other = resnet18_sides(1).edge
    with pytest.raises(ParityError, match="the exported parameters are not the network's"):
        check_parity(copy, other, TOLERANCES)


def test_moved_running_statistics_are_caught(copy: Bundle, reference: EdgeModel) -> None:
    """The exporter's trace moves them, and nothing says so."""
    with torch.no_grad():
        for name, value in reference.named_buffers():
            if name.endswith("running_var"):
                value.fill_(0.9)
    with pytest.raises(ParityError, match="running statistics"):
        check_parity(copy, reference, TOLERANCES)
