"""The gate catches what would train wrongly: each fault here was seen in a real exporter."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from bundles import export_fashion
from hiertk.export.joint import StepGraphs, trace_step
from hiertk.export.parity import check_parity
from hiertk.export.rounding import Tolerances
from hiertk.export.xnnpack import windows
from hiertk.models import CutSpec, EdgeModel, NetworkSpec, both_sides, open_network
from hiertk_edge.engines import program_learner
from hiertk_edge.engines.optimizers import Trained, stepped
from hiertk_edge.engines.program_state import STATE
from hiertk_edge.engines.torch_program import STEP
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


@pytest.fixture
def program(bundle_of: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    """A copy of backend torch's bundle: convolution, batch normalization, ReLU, max pool."""
    bundle = bundle_of("torch")
    shutil.copytree(bundle.folder, tmp_path / "program")
    return Bundle(tmp_path / "program", bundle.manifest)


@pytest.fixture
def vgg() -> EdgeModel:
    network = NetworkSpec("vgg11_bn", 16, 32)
    torch.manual_seed(0)
    return both_sides(open_network(network), CutSpec(network, 1)).edge


def edit_step(bundle: Bundle, change: Callable[[Any], None]) -> None:
    """Change the graph of a training step."""
    path = bundle.path(STEP)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in content if name.endswith("/models/model.json"))
    model = json.loads(content[name])
    change(model["graph_module"]["graph"])
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in (content | {name: json.dumps(model).encode()}).items():
            archive.writestr(member, data)


def names_of(bundle: Bundle) -> list[str]:
    parameters: list[str] = json.loads(bundle.path(STATE).read_bytes())["parameters"]
    return parameters


def test_an_honest_program_passes(program: Bundle, vgg: EdgeModel) -> None:
    edit_step(program, lambda _graph: None)
    checks = {check.what for check in check_parity(program, vgg, TOLERANCES)}
    assert {"gradients", "running statistics", "updated parameters"} <= checks


def test_a_wrong_gradient_of_a_max_pool_is_caught(program: Bundle, vgg: EdgeModel) -> None:
    """As one engine computed it: shared out over the window, to pixels that are not the largest."""

    def share_out(graph: Any) -> None:
        (node,) = (n for n in graph["nodes"] if "max_pool2d_with_indices_backward" in n["target"])
        node["target"] = "torch.ops.aten.avg_pool2d_backward.default"
        kept = {one["name"]: one for one in node["inputs"]}
        order = ("grad_output", "self", "kernel_size", "stride", "padding", "ceil_mode")
        node["inputs"] = [kept[name] for name in order]
        node["inputs"].append({"name": "count", "arg": {"as_bool": True}, "kind": 1})
        node["inputs"].append({"name": "divisor", "arg": {"as_none": True}, "kind": 1})

    edit_step(program, share_out)
    with pytest.raises(ParityError, match=r"gradients at partition\."):
        check_parity(program, vgg, TOLERANCES)


def test_gradients_of_a_program_under_each_others_names_are_caught(
    program: Bundle, vgg: EdgeModel
) -> None:
    names = names_of(program)
    first, second = (
        names.index("partition.features.1.weight"),
        names.index("partition.features.1.bias"),
    )

    def exchange(graph: Any) -> None:
        outputs = graph["outputs"]
        one, other = 3 + first, 3 + second
        outputs[one], outputs[other] = outputs[other], outputs[one]

    edit_step(program, exchange)
    with pytest.raises(ParityError, match=r"gradients at partition\.features\.1\."):
        check_parity(program, vgg, TOLERANCES)


def test_parameters_of_a_program_under_each_others_names_are_caught(
    program: Bundle, vgg: EdgeModel
) -> None:
    path = program.path(STATE)
    names = json.loads(path.read_bytes())
    parameters = names["parameters"]
    one, other = (parameters.index(f"partition.features.1.{what}") for what in ("weight", "bias"))
    parameters[one], parameters[other] = parameters[other], parameters[one]
    path.write_text(json.dumps(names))
    with pytest.raises(ParityError, match=r"features of step 0"):
        check_parity(program, vgg, TOLERANCES)


def test_statistics_of_a_program_that_stay_are_caught(program: Bundle, vgg: EdgeModel) -> None:
    def stay(graph: Any) -> None:
        count = len(names_of(program))
        graph["outputs"][3 + count] = graph["inputs"][3 + count]

    edit_step(program, stay)
    with pytest.raises(ParityError, match=r"running statistics at .*running_mean"):
        check_parity(program, vgg, TOLERANCES)


def test_an_optimizer_that_forgets_is_caught(
    program: Bundle, vgg: EdgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its second step is wrong."""

    def forgetful(info: Any, rate: float, before: Trained, gradients: Any) -> Trained:
        blank = {
            kind: {name: torch.zeros_like(value) for name, value in values.items()}
            for kind, values in before.moments.items()
        }
        return stepped(info, rate, replace(before, moments=blank), gradients)

    monkeypatch.setattr(program_learner, "stepped", forgetful)
    with pytest.raises(ParityError, match="updated parameters"):
        check_parity(program, vgg, TOLERANCES)


@pytest.mark.parametrize("fault", ["a shared gradient of the max pool", "exchanged names"])
def test_a_fault_in_the_executorch_compiler_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Of a pool that gives all of its window a share, or of gradients in another order."""
    if fault == "exchanged names":

        def shifted(*arguments: Any, **options: Any) -> StepGraphs:
            graphs = trace_step(*arguments, **options)
            (output,) = (node for node in graphs.step.graph.nodes if node.op == "output")
            results = list(output.args[0])
            one, other = (
                3 + graphs.state.parameters.index(f"partition.features.1.{what}")
                for what in ("weight", "bias")
            )
            results[one], results[other] = results[other], results[one]
            output.args = (tuple(results),)
            return graphs

        monkeypatch.setattr("hiertk.export.executorch_artifacts.trace_step", shifted)
    else:

        def shared(on: Any, images: Any, _pooled: Any, gradient: Any, window: Any) -> Any:
            return windows.average_pool_gradient(on, gradient, window, *images.shape[2:])

        monkeypatch.setattr(windows, "max_pool_gradient", shared)
    with pytest.raises(ParityError, match=r"gradients at partition\.features\."):
        export_fashion(
            tmp_path / "bundle", model="vgg11_bn", split=1, backend="executorch", batch_size=8
        )
    assert not (tmp_path / "bundle").exists()
