"""Networks, policies and bottlenecks through the engine that trains on devices."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run_here
from hiertk.cli import main
from hiertk.export import ExportSettings, export_bundle, export_cuts, parse_splits
from hiertk.export.job import Exported
from hiertk.models import load_cloud_partition
from hiertk_edge.engines.backends import open_learner
from hiertk_protocol.bundle import open_bundle
from hiertk_protocol.errors import BundleError, ConfigError, ExportError, HiertkError

OWN_NETWORK = """
import torch

def small(num_classes):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Hardswish(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.GroupNorm(4, 16), torch.nn.Dropout(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, num_classes),
    )
"""


def settings(out: Path, **changes: object) -> ExportSettings:
    base: dict[str, object] = {
        "model": "resnet18", "split": 2, "target": "linux", "classes": ("a", "b", "c"), "out": out,
    }  # fmt: skip
    return ExportSettings(**{**base, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"normalization": "group"},
        {"normalization": "frozen"},
        {"bottleneck": 16},
        {"bottleneck": 16, "normalization": "group"},
        {"model": "mobilenet_v3_small", "split": 4},
        {"model": "convnext_tiny", "split": 1},
        pytest.param({"model": "efficientnet_b0", "split": 2}, marks=pytest.mark.slow),
        pytest.param({"model": "vgg11_bn", "split": 2}, marks=pytest.mark.slow),
        pytest.param({"model": "timm:convnext_atto", "split": 1}, marks=pytest.mark.slow),
        *(
            pytest.param({"backend": "torch", "batch_size": 8, **changes}, marks=pytest.mark.slow)
            for changes in (
                {"split": 1, "normalization": "group"},
                {"split": 1, "normalization": "frozen", "bottleneck": 16},
                {"model": "vgg16", "split": 2},
                {"model": "mobilenet_v2", "split": 3},
                {"model": "mobilenet_v3_small", "split": 3},
                {"model": "convnext_tiny", "split": 1},
                {"model": "efficientnet_b0", "split": 2},
                {"model": "shufflenet_v2_x1_0", "split": 2},
                {"model": "regnet_y_400mf", "split": 2},
            )
        ),
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_it_exports_trains_as_pytorch_does_and_its_cloud_part_comes_back(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """The gate at export compares features, losses, every gradient and every parameter."""
    exported = export_bundle(settings(tmp_path / "b", **changes)).bundle
    bundle = open_bundle(exported.folder)
    assert {"gradients", "updated parameters"} <= {check.what for check in bundle.manifest.parity}
    learner = open_learner(bundle)
    images = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    labels = np.array([0, 1, 2, 0])
    losses = [learner.step(images, labels).loss for _ in range(6)]
    assert losses[-1] < losses[0]
    features = learner.evaluate(images, labels).features
    assert features.shape[1:] == bundle.manifest.features.shape
    cloud = load_cloud_partition(bundle).eval()
    with torch.no_grad():
        assert cloud(torch.from_numpy(features)).shape == (4, 16)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A network whose statistics are frozen, without weights to start from."""
    out = tmp_path_factory.mktemp("frozen") / "b"
    return export_bundle(settings(out, normalization="frozen"))


def test_statistics_stay_where_they_are_frozen(frozen: Exported) -> None:
    from hiertk_edge.engines.ort_learner import OrtLearner

    learner = OrtLearner(frozen.bundle)
    before = learner.parameters()
    images = np.random.default_rng(0).normal(3, 2, (4, 3, 32, 32)).astype(np.float32)
    learner.step(images, np.array([0, 1, 2, 0]))
    after = learner.parameters()
    moved = {name for name, value in before.items() if not np.array_equal(value, after[name])}
    assert "partition.bn1.weight" in moved
    assert not [name for name in moved if "running" in name]


def test_frozen_statistics_without_weights_are_warned_of(frozen: Exported) -> None:
    assert any("start from --weights" in note for note in frozen.notes)


def test_a_network_of_the_users_own_is_exported_and_served_only_if_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_network.py").write_text(OWN_NETWORK)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the command puts the current folder first
    done = run_here(
        main,
        *("export", "--model", "own_network:small", "--split", "2", "--target", "linux"),
        *("--input-size", "16", "--json"),
        folder=tmp_path,
    )
    del sys.modules["own_network"]  # so that nothing below has it by chance
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["folder"] == "own_network-small-split2-linux"
    assert told["manifest"]["model"]["name"] == "own_network:small"
    bundle = open_bundle(tmp_path / told["folder"])
    with pytest.raises(BundleError, match="start with --factory own_network:small"):
        load_cloud_partition(bundle)
    with pytest.raises(BundleError, match="start with --factory own_network:small"):
        load_cloud_partition(bundle, trusted_factory="own_network:other")


def test_several_cuts_make_a_profiling_bundle_of_edge_parts(tmp_path: Path) -> None:
    cuts = export_cuts(settings(tmp_path / "cuts", model="vgg11"), (1, 3))
    assert cuts.splits == (1, 3)
    assert not cuts.left_out
    for split in (1, 3):
        bundle = open_bundle(cuts.folder / f"split-{split}")
        assert bundle.manifest.model.split == split
        assert open_learner(bundle).edge_step == 0
        assert not (bundle.folder / "cloud").exists()


def test_a_cut_that_cannot_be_trained_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hiertk.export.job import write_edge

    def refuse_the_second(*arguments: object) -> object:
        if arguments[1].model.split == 2:  # type: ignore[attr-defined]
            raise ExportError("no gradient for Strange")
        return write_edge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("hiertk.export.cuts.write_edge", refuse_the_second)
    cuts = export_cuts(settings(tmp_path / "cuts"), (1, 2))
    assert (cuts.splits, cuts.left_out) == ((1,), {2: "no gradient for Strange"})
    assert [path.name for path in cuts.folder.iterdir()] == ["split-1"]
    with pytest.raises(ExportError, match="no cut of resnet18 can be trained: no gradient for"):
        export_cuts(settings(tmp_path / "none"), (2,))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("text", "splits"), [("all", None), ("3", (3,)), ("5,1", (1, 5)), ("2, 2", (2,))]
)
def test_splits_are_written_so(text: str, splits: tuple[int, ...] | None) -> None:
    assert parse_splits(text) == splits


@pytest.mark.parametrize("text", ["", "a", "1-3", "1,,2", "1.5"])
def test_other_splits_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give a number, numbers with commas between, or all"):
        parse_splits(text)


def test_an_operator_without_a_gradient_is_told(tmp_path: Path, capfd: object) -> None:
    (tmp_path / "odd_network.py").write_text(
        OWN_NETWORK.replace("torch.nn.Hardswish()", "torch.nn.LocalResponseNorm(2)")
    )
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(HiertkError) as raised:
            export_bundle(settings(tmp_path / "b", model="odd_network:small", input_size=16))
    finally:
        sys.path.remove(str(tmp_path))
    assert isinstance(raised.value, ExportError)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "b").exists()
