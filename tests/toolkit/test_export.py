"""Exports are whole, checked, and leave nothing behind when they fail."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hiertk.export import ExportSettings, export_bundle, parse_classes
from hiertk.export.optimizer import OptimizerFlags
from hiertk.models import load_cloud_partition
from hiertk_edge.engines.aten_operators import OPERATORS
from hiertk_edge.golden import verify_golden
from hiertk_protocol.bundle import Bundle, open_bundle
from hiertk_protocol.errors import (
    BundleError,
    ConfigError,
    ExportError,
    HiertkError,
    ModelError,
    ParityError,
)
from hiertk_protocol.manifest import Sgd
from safetensors.torch import load_file, save_file

EVERY_FILE = {
    "cloud/cloud.json",
    "cloud/cloud.safetensors",
    "edge/checkpoint",
    "edge/eval_model.onnx",
    "edge/optimizer_model.onnx",
    "edge/training_model.onnx",
    "golden/steps.safetensors",
}


def settings(out: Path, **changes: object) -> ExportSettings:
    fields: dict[str, object] = {
        "model": "resnet18", "split": 2, "target": "android", "classes": ("a", "b", "c"),
        "out": out,
    }  # fmt: skip
    return ExportSettings(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def copy(resnet18_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A bundle to be changed."""
    shutil.copytree(resnet18_bundle.folder, tmp_path / "copy")
    return Bundle(tmp_path / "copy", resnet18_bundle.manifest)


def test_a_bundle_has_all_its_files_and_opens(resnet18_bundle: Bundle) -> None:
    assert set(resnet18_bundle.manifest.files) == EVERY_FILE
    opened = open_bundle(resnet18_bundle.folder)
    assert opened.manifest == resnet18_bundle.manifest
    assert {path.name for path in resnet18_bundle.folder.iterdir()} == {
        "manifest.json", "edge", "cloud", "golden",
    }  # fmt: skip


def test_whoever_may_read_the_folder_may_read_its_files(resnet18_bundle: Bundle) -> None:
    folder = resnet18_bundle.folder
    modes = {path.stat().st_mode & 0o666 for path in folder.rglob("*") if path.is_file()}
    assert modes == {folder.stat().st_mode & 0o666}


def test_the_gate_is_recorded(resnet18_bundle: Bundle) -> None:
    checks = {check.what: check for check in resnet18_bundle.manifest.parity}
    assert checks["features of step 0"].tolerance == 1e-4
    assert {"gradients", "updated parameters", "running statistics"} <= set(checks)
    assert all(0 <= check.worst <= check.tolerance for check in checks.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "resnet18", "split": 1, "bits": 8, "stem": "3x3"},
        pytest.param(
            {"model": "resnet18", "split": 8, "class_capacity": 3}, marks=pytest.mark.slow
        ),
        {"model": "vgg16", "split": 4, "target": "linux"},
        {"model": "resnet18", "split": 2, "input_size": 65},
    ],
)
def test_other_networks_cuts_and_sizes_pass_the_gate(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    bundle = export_bundle(settings(tmp_path / "b", **changes)).bundle
    checks = verify_golden(open_bundle(bundle.folder))
    assert len(checks) >= 5


def test_the_cloud_partition_comes_back_with_its_weights(resnet18_bundle: Bundle) -> None:
    partition = load_cloud_partition(resnet18_bundle)
    weights = load_file(resnet18_bundle.path("cloud/cloud.safetensors"))
    assert all(torch.equal(value, weights[name]) for name, value in partition.state_dict().items())
    shape = resnet18_bundle.manifest.features.shape
    with torch.no_grad():
        assert partition.eval()(torch.zeros(2, *shape)).shape == (2, 16)


def test_exported_weights_are_the_users(tmp_path: Path, resnet18_bundle: Bundle) -> None:
    """Weights of one export, put together, start the next one."""
    from hiertk.models import NetworkSpec, build
    from hiertk_edge.engines.ort_learner import OrtLearner

    torch.manual_seed(7)
    model = build(NetworkSpec("resnet18", 16, 32))
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    done = export_bundle(
        settings(tmp_path / "b", weights=tmp_path / "weights.safetensors", class_capacity=16)
    )
    assert done.notes == ()
    exported = OrtLearner(done.bundle).parameters()
    for name, value in model.state_dict().items():
        inside = f"partition.{name}"
        if inside in exported:
            assert torch.equal(torch.from_numpy(exported[inside]), value), name


def test_a_zip_opens_as_the_same_bundle(tmp_path: Path) -> None:
    done = export_bundle(settings(tmp_path / "b", zip=True))
    assert done.archive == tmp_path / "b.zip"
    assert open_bundle(done.archive).manifest == done.bundle.manifest


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "resnet9000"}, ModelError, "unknown network"),
        ({"split": 9}, ModelError, "separation points 1 to 8"),
        ({"target": "toaster"}, ConfigError, "choose from linux, android, rpi"),
        ({"backend": "tflite"}, ConfigError, "choose from onnxruntime, executorch, torch"),
        ({"backend": "torch"}, ConfigError, "take onnxruntime or executorch"),
        ({"target": "rpi", "backend": "onnxruntime"}, ConfigError, "take executorch or torch"),
        ({"optimizer": OptimizerFlags("sgd")}, ConfigError, "take --backend executorch"),
        ({"input_size": 16}, ModelError, "at least 32 pixels"),
        ({"input_size": 7}, ConfigError, "from 8 to 1024"),
        ({"bits": 5}, ConfigError, "8 or 4 bits"),
        ({"batch_size": 1}, ConfigError, "from 2 to 1024"),
        ({"class_capacity": 2}, ConfigError, "3 classes do not fit 2 slots"),
        ({"classes": ("a", "a")}, ConfigError, "class names repeat"),
        ({"stem": "5x5"}, ConfigError, "choose from torchvision, 3x3"),
        ({"normalization": "layer"}, ConfigError, "choose from batch, frozen, group"),
        ({"bottleneck": 64}, ModelError, "the features have 64 here, take fewer"),
        ({"model": "vgg16", "normalization": "group"}, ModelError, "no batch normalization"),
        ({"model": "no.such:factory"}, ModelError, "No module named 'no'"),
        ({"model": "timm:resnet9000"}, ModelError, "timm has no network 'resnet9000'"),
        ({"weights": Path("nowhere")}, ModelError, "not a safetensors file"),
    ],
)
def test_bad_settings_give_one_line_and_write_nothing(
    tmp_path: Path, changes: dict[str, object], error: type[HiertkError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        export_bundle(settings(tmp_path / "b", **changes))
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_kept_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "precious").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        export_bundle(settings(tmp_path / "b"))
    assert (tmp_path / "b" / "precious").read_text() == "mine"
    export_bundle(settings(tmp_path / "b", force=True))
    assert open_bundle(tmp_path / "b").manifest.model.split == 2


def test_a_failing_gate_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiertk.export.rounding._FEATURES", 0)
    monkeypatch.setattr("hiertk.export.rounding._LEAST_FEATURES", 1e-12)
    with pytest.raises(ParityError, match="do not deploy this bundle"):
        export_bundle(settings(tmp_path / "b"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"bits": 8}, r"take --bits 4 \(2048 bytes\) or --split 3 \(2048 bytes\)"),
        pytest.param(
            {"stem": "3x3"}, r"take --split 5 \(\d+ bytes\)|no cut", marks=pytest.mark.slow
        ),
        pytest.param(
            {"model": "vgg16", "split": 4},
            r"take --split 7 \(2048 bytes\)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_uplink_above_the_raw_image_is_warned_of(
    tmp_path: Path, changes: dict[str, object], advice: str
) -> None:
    notes = export_bundle(settings(tmp_path / "b", **changes)).notes
    assert len(notes) == 1
    assert "more than the raw image's 3072" in notes[0]
    import re

    assert re.search(advice, notes[0]), notes


def test_damage_is_found(copy: Bundle) -> None:
    path = copy.folder / "edge" / "training_model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"training_model\.onnx: its checksum"):
        open_bundle(copy.folder)


def test_a_cloud_part_of_another_network_is_refused(copy: Bundle) -> None:
    path = copy.folder / "cloud" / "cloud.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split": 3}))
    with pytest.raises(BundleError, match=r"does not fit.*: export the bundle again"):
        load_cloud_partition(copy)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"network": "os:system"}))
    with pytest.raises(BundleError, match="start with --factory os:system if you trust it"):
        load_cloud_partition(copy)
    path.write_text('{"network": "resnet18"}')
    with pytest.raises(BundleError, match="export the bundle again"):
        load_cloud_partition(copy)


def test_classes_are_a_number_names_or_a_file(tmp_path: Path) -> None:
    assert parse_classes("3") == ("class-0", "class-1", "class-2")
    assert parse_classes("cat, dog") == ("cat", "dog")
    (tmp_path / "names").write_text("cat\n\nbig dog\n")
    assert parse_classes(str(tmp_path / "names")) == ("cat", "big dog")


@pytest.mark.parametrize("text", ["0", "99999", "", ",,"])
def test_no_classes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--classes"):
        parse_classes(text)


TORCH_FILES = {
    "cloud/cloud.json",
    "cloud/cloud.safetensors",
    "edge/infer.pt2",
    "edge/params.safetensors",
    "edge/state.json",
    "edge/train.pt2",
    "golden/steps.safetensors",
}


def test_a_bundle_of_backend_torch_has_all_its_files_and_says_its_version(
    bundle_of: Callable[[str], Bundle],
) -> None:
    bundle = bundle_of("torch")
    assert set(bundle.manifest.files) == TORCH_FILES
    engine = open_bundle(bundle.folder).manifest.engine
    assert (engine.backend, engine.version) == ("torch", torch.__version__.partition("+")[0])
    checks = {check.what for check in bundle.manifest.parity}
    assert {"gradients", "updated parameters", "running statistics"} <= checks


def test_an_export_of_backend_torch_has_the_users_optimizer_and_frozen_constants(
    tmp_path: Path,
) -> None:
    flags = OptimizerFlags("sgd", learning_rate=0.1, weight_decay=1e-3, nesterov=True)
    changes = {
        "model": "vgg11_bn", "split": 1, "target": "rpi", "backend": "torch", "optimizer": flags,
        "normalization": "frozen", "input_size": 40,
    }  # fmt: skip
    bundle = export_bundle(settings(tmp_path / "b", **changes)).bundle
    chosen = bundle.manifest.optimizer
    assert chosen == Sgd(learning_rate=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True)
    state = json.loads(bundle.path("edge/state.json").read_bytes())
    assert state["statistics"] == []
    assert [name.rpartition(".")[2] for name in state["constants"]] == [
        "running_mean", "running_var",
    ]  # fmt: skip
    stored = set(load_file(bundle.path("edge/params.safetensors")))
    assert stored == {*state["parameters"], *state["constants"]}


def test_an_operator_that_devices_do_not_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = OPERATORS - {"torch.ops.aten.relu.default"}
    monkeypatch.setattr("hiertk.export.torch_artifacts.OPERATORS", few)
    changes = {"model": "vgg11", "split": 1, "target": "linux", "backend": "torch"}
    with pytest.raises(ExportError, match=r"does not run torch\.ops\.aten\.relu\.default: take"):
        export_bundle(settings(tmp_path / "b", **changes))
    assert list(tmp_path.iterdir()) == []
