"""`hiertk profile` as edge and as cloud: real engines, real images, every part of a real step."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hiertk.cli import app
from hiertk.data import load
from hiertk.export import ExportedCuts, ExportSettings
from hiertk.profiling import edge
from hiertk.profiling.cloud_intake import IntakeMeter
from hiertk.profiling.cloud_partitions import CloudPartition, cloud_partitions
from hiertk.profiling.cloud_step import CloudStepMeter
from hiertk.profiling.edge import profile_edge_role
from hiertk.profiling.settings import RoleSettings, spread
from hiertk_cloud.training.learner import CloudLearner
from hiertk_edge.profiling.stopwatch import Stopwatch
from hiertk_protocol import console
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.codec import dequantize
from hiertk_protocol.errors import ConfigError, HiertkError, ModelError
from hiertk_protocol.profile_file import read_cloud_profile, read_edge_profile
from torch import nn
from typer.testing import CliRunner, Result

IMAGES = load("fashion-mnist-mini", "train")
EXPORT = ExportSettings(
    model="resnet18", split=1, target="linux", classes=IMAGES.classes, batch_size=4, force=True
)


def settings(folder: Path, splits: tuple[int, ...] | None) -> RoleSettings:
    return RoleSettings(
        export=EXPORT,
        data="fashion-mnist-mini",
        images=IMAGES,
        splits=splits,
        folder=folder,
        threads=1,
        seconds=0.1,
    )


@pytest.fixture
def hiertk_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Result]:
    """`hiertk profile` of ResNet-18 in this process, which has torch loaded already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "terminate_like_interrupt", lambda: None)
    few = "--model resnet18 --batch-size 4 --seconds 0.1"

    def run(arguments: str) -> Result:
        return CliRunner().invoke(app, ["profile", *few.split(), *arguments.split()])

    return run


def test_as_edge_cuts_are_exported_and_measured_through_the_edge_engine(
    tmp_path: Path, hiertk_profile: Callable[[str], Result]
) -> None:
    done = hiertk_profile("--role edge --splits 1 --out edge.toml")
    assert done.exit_code == 0, done.stderr
    assert "Wrote edge.toml" in done.stdout
    found = read_edge_profile(tmp_path / "edge.toml")
    assert (found.images, found.engine.backend) == ("fashion-mnist-mini", "onnxruntime")
    assert (found.network.name, found.network.input_size, found.network.slots) == (
        "resnet18",
        32,
        16,
    )
    (point,) = found.points
    assert (point.split, point.module) == (1, "layer1.0")
    assert [step.samples for step in point.steps] == [2, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["edge.toml"]


def test_a_cut_that_cannot_be_trained_is_left_out_and_told(
    tmp_path: Path, resnet18_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_one_of_two(export: ExportSettings, *_arguments: object) -> ExportedCuts:
        folder = export.folder
        folder.mkdir()
        (folder / "split-2").symlink_to(resnet18_bundle.folder)
        return ExportedCuts(folder, (2,), {1: "ONNX Runtime cannot train this"})

    monkeypatch.setattr(edge, "export_cuts", export_one_of_two)
    told: list[str] = []
    found = profile_edge_role(settings(tmp_path, (1, 2)), told.append)
    assert [point.split for point in found.points] == [2]
    assert told[0] == "separation point 1 is left out: ONNX Runtime cannot train this"
    assert told[1].startswith("separation point 2 (layer1.1): a step of 4 images")
    assert list(tmp_path.iterdir()) == []


def test_as_cloud_the_whole_network_and_each_partition_are_measured(
    tmp_path: Path, hiertk_profile: Callable[[str], Result]
) -> None:
    threads = torch.get_num_threads()
    done = hiertk_profile("--role cloud --splits 2,8 --out cloud.toml --json")
    assert done.exit_code == 0, done.stderr
    assert torch.get_num_threads() == threads
    found = read_cloud_profile(tmp_path / "cloud.toml")
    assert found.model_dump(mode="json") == json.loads(done.stdout)
    assert [(point.split, point.module) for point in found.points] == [
        (0, ""),
        (2, "layer1.1"),
        (8, "layer4.1"),
    ]
    assert (found.engine.backend, found.engine.version) == ("torch", torch.__version__)
    assert found.network.name == "resnet18"
    for point in found.points:
        assert [step.samples for step in point.steps] == [2, 4, 8]
        assert all(min(s.forward_ms, s.backward_ms, s.optimizer_ms) > 0 for s in point.steps)
        assert point.receive_ms > 0
    whole, _, last = (point.steps[-1].total_ms for point in found.points)
    assert whole > 2 * last  # what is left of it is the classifier
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "the whole network",
        "after separation point 2 (layer1.1)",
        "after separation point 8 (layer4.1)",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["cloud.toml"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ("--role phone", ConfigError, "--role phone: choose from edge, cloud"),
        ("--role cloud --splits 99", ModelError, "separation points 1 to 8, not 99"),
        ("--role edge --splits one", ConfigError, "separation points 'one': give a number"),
        ("--role edge --data nothing", ConfigError, "unknown data set 'nothing'"),
        ("--role edge --normalization none", ConfigError, "--normalization none: choose from"),
    ],
)
def test_what_is_wrong_is_one_line_and_no_file(
    tmp_path: Path,
    hiertk_profile: Callable[[str], Result],
    arguments: str,
    kind: type[HiertkError],
    message: str,
) -> None:
    done = hiertk_profile(f"{arguments} --out one.toml")
    assert type(done.exception) is kind
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def partitions() -> list[CloudPartition]:
    torch.manual_seed(0)
    return list(cloud_partitions(EXPORT, (8,), IMAGES, 8))


def test_the_whole_network_takes_the_images_as_features(partitions: list[CloudPartition]) -> None:
    whole, last = partitions
    images, labels = IMAGES.tensors(spread(IMAGES, 8), whole.manifest.input)
    assert whole.manifest.features.shape == (3, 32, 32)
    assert np.abs(dequantize(whole.features) - images.numpy()).max() < 0.02  # of a range of 5
    assert (whole.labels.tolist(), last.labels.tolist()) == (labels.tolist(), labels.tolist())
    assert last.features.values.shape == (8, *last.manifest.features.shape)


def test_measuring_one_partition_leaves_the_others_as_they_are(
    partitions: list[CloudPartition],
) -> None:
    whole, last = partitions
    before = [value.clone() for value in whole.module.state_dict().values()]
    learner = CloudLearner(last.module, last.manifest, 1e-2)
    CloudStepMeter(learner, last, samples=8, batch_size=4).measure(Stopwatch())
    for old, new in zip(before, whole.module.state_dict().values(), strict=True):
        assert torch.equal(old, new)


def test_the_parts_of_the_cloud_step_are_the_trainers_step_and_the_reading(
    partitions: list[CloudPartition],
) -> None:
    last = partitions[-1]
    learner = CloudLearner(last.module, last.manifest, 1e-3)
    meter = CloudStepMeter(learner, last, samples=8, batch_size=4)
    watch = Stopwatch()
    for _ in range(5):
        meter.measure(watch)
    step = meter.step_time(watch, read_ms_per_sample=0.5)
    assert step.samples == 8
    # Of the new batch only: the replayed one is in the trainer's memory.
    assert step.total_ms == pytest.approx(watch.median_ms("step") + 4 * 0.5, abs=1e-3)
    assert step.forward_ms == watch.median_ms("forward")
    assert len(learner.module._forward_hooks) == 0


def test_a_batch_that_the_cloud_would_skip_is_an_error(partitions: list[CloudPartition]) -> None:
    last = partitions[-1]
    channels = last.manifest.features.shape[0]
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(channels), nn.Linear(channels, 16))
    one = replace(last, module=module)
    meter = CloudStepMeter(CloudLearner(module, one.manifest, 1e-3), one, samples=1, batch_size=4)
    with pytest.raises(ModelError, match="separation point 8: the cloud skips a batch of 1"):
        meter.measure(Stopwatch())


@pytest.fixture
def large(partitions: list[CloudPartition]) -> CloudPartition:
    """Features of which a single sample fits no message."""
    last = partitions[-1]
    values = np.random.default_rng(0).integers(0, 16, (4, 8, 256, 256), np.uint8)
    manifest = last.manifest
    shape = manifest.features.model_copy(update={"shape": values.shape[1:]})
    return replace(
        last,
        manifest=manifest.model_copy(update={"features": shape}),
        features=replace(
            last.features,
            values=values,
            scales=np.ones(8, np.float32),
            zero_points=np.zeros(8, np.uint8),
        ),
        labels=last.labels[:4],
    )


def test_a_message_is_taken_in_and_read_again(
    tmp_path: Path, partitions: list[CloudPartition]
) -> None:
    watch = Stopwatch()
    with IntakeMeter(partitions[0], 4, tmp_path) as intake:
        for _ in range(3):
            intake.measure(watch)
    assert intake.samples == 4
    assert min(watch.median_ms("receive"), watch.median_ms("read")) > 0


def test_a_sample_too_large_for_a_message_still_has_its_time(
    tmp_path: Path, large: CloudPartition
) -> None:
    watch = Stopwatch()
    with IntakeMeter(large, 4, tmp_path) as intake:
        intake.measure(watch)
    assert intake.samples == 1
    assert watch.median_ms("receive") > 0


def test_images_are_taken_from_all_over_the_set() -> None:
    assert spread(IMAGES, 3).tolist() == [0, (len(IMAGES) - 1) // 2, len(IMAGES) - 1]
    assert len(spread(IMAGES, 10 * len(IMAGES))) == len(IMAGES)
