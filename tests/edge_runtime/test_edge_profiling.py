"""`hiertk-edge profile`: the real engine, real files, a process for each cut, and nothing left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_parts import make_manifest, write_bundle, write_images
from hiertk_edge import cli
from hiertk_edge.commands import profile as profile_command
from hiertk_edge.golden import GoldenSteps
from hiertk_edge.images import preprocess, read_image
from hiertk_edge.learner import StepResult
from hiertk_edge.profiling.cuts import open_cuts
from hiertk_edge.profiling.images import full_batches, open_images
from hiertk_edge.profiling.process import measure_apart
from hiertk_edge.profiling.records import PointSettings
from hiertk_edge.profiling.stopwatch import Stopwatch, turns
from hiertk_edge.profiling.training import StepMeter
from hiertk_edge.profiling.wire import DEVICE, WireMeter
from hiertk_edge.profiling.work_folder import work_folder
from hiertk_edge.sources import DataSet, open_data_set
from hiertk_edge.spool import Spool
from hiertk_protocol import console
from hiertk_protocol.bundle import MANIFEST, open_bundle
from hiertk_protocol.errors import BundleError, ConfigError, HiertkError, StorageError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.profile_file import read_edge_profile
from typer.testing import CliRunner, Result

COMMAND = [sys.executable, "-m", "hiertk_edge", "profile"]


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`hiertk-edge profile` in this process; what it measures has a process of its own anyway."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "terminate_like_interrupt", lambda: None)
    monkeypatch.setattr(profile_command, "log_to_stderr", lambda **_options: None)

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(cli.app, ["profile", *map(str, arguments)])

    return run


def source(folder: Path, per_class: int) -> DataSet:
    manifest = make_manifest()
    write_images(folder, per_class)
    return open_data_set(f"folder:{folder}", manifest.classes.names, manifest.input)


def of_another_engine(bundle: Path, target: Path) -> Path:
    shutil.copytree(bundle, target)
    manifest = open_bundle(bundle).manifest
    engine = manifest.engine.model_copy(update={"version": "1.18.0"})
    changed = manifest.model_copy(update={"engine": engine})
    (target / MANIFEST).write_bytes(changed.to_json())
    return target


def test_a_bundle_is_profiled_with_its_golden_images(
    tmp_path: Path, exported: Path, profile: Callable[..., Result]
) -> None:
    out = "pi/one.toml"
    done = profile("--bundle", exported, "--out", out, "--seconds", "0.3", "--json")
    assert done.exit_code == 0, done.stderr
    found = read_edge_profile(tmp_path / "pi" / "one.toml")
    assert found.model_dump(mode="json") == json.loads(done.stdout)
    assert (found.network.name, found.network.slots, found.images) == (
        "resnet18",
        16,
        "golden images of the bundle",
    )
    assert (found.engine.backend, found.engine.threads) == ("onnxruntime", 1)
    assert found.prepare_ms > 0
    (point,) = found.points
    assert (point.split, point.module) == (1, "layer1.0")
    few, full = point.steps
    assert (few.samples, full.samples) == (2, 8)
    assert min(few.forward_ms, few.backward_ms, few.optimizer_ms) > 0
    assert full.forward_ms + full.backward_ms > few.forward_ms + few.backward_ms
    eight, four = point.wire
    assert (eight.bits, four.bits, eight.samples, eight.messages) == (8, 4, 8, 1)
    assert four.bytes < eight.bytes < 8 * 64 * 8 * 8 + 1000
    assert four.handover_ms > four.quantize_ms
    assert 40e6 < point.peak_memory_bytes < 200e6
    assert "separation point 1 (layer1.0): a step of 8 images" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["pi", "one.toml"]


def test_a_file_is_not_replaced_unasked(tmp_path: Path, profile: Callable[..., Result]) -> None:
    (tmp_path / "one.toml").write_text("mine")
    done = profile("--bundle", "none", "--out", "one.toml")
    assert isinstance(done.exception, ConfigError)
    assert "one.toml exists: choose another with --out, or --force" in str(done.exception)
    assert (tmp_path / "one.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("--bundle", "none"), BundleError, "none: No such file"),
        (("--bundle", "."), BundleError, "neither a bundle nor a folder of cuts"),
        (("--bundle", "bundle", "--data", "data"), ConfigError, "write folder:PATH"),
        (("--bundle", "bundle", "--data", "folder:none"), ConfigError, "none: No such file"),
        (("--bundle", "bundle"), BundleError, "separation point 1: bundle: no golden/steps"),
    ],
)
def test_what_is_wrong_is_one_line_and_no_file(
    tmp_path: Path,
    profile: Callable[..., Result],
    arguments: tuple[str, ...],
    kind: type[HiertkError],
    message: str,
) -> None:
    write_bundle(tmp_path / "bundle")
    done = profile(*arguments, "--out", "one.toml")
    assert type(done.exception) is kind
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_cut_that_the_engine_refuses_ends_it_without_a_file(
    tmp_path: Path, exported: Path, profile: Callable[..., Result]
) -> None:
    of_another_engine(exported, tmp_path / "bundle")
    done = profile("--bundle", "bundle", "--out", "one.toml")
    assert type(done.exception) is BundleError
    wanted = "separation point 1: the bundle is for onnxruntime-training-cpu 1.18.0"
    assert str(done.exception).startswith(wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def processes_naming(text: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if text in command and int(folder.name) != os.getpid():
            found.append(command)
    return found


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_interrupted_it_leaves_no_file_and_no_process(tmp_path: Path, exported: Path) -> None:
    arguments = ["--bundle", str(exported), "--out", "one.toml", "--seconds", "60"]
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: list(tmp_path.glob(".hiertk-profile-*/checkpoint")))
        assert len(processes_naming("profiling.point")) >= 1
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert [c for c in processes_naming(str(exported)) if "profiling.point" in c] == []


def point_settings(bundle: Path, folder: Path) -> PointSettings:
    return PointSettings(
        bundle=bundle, folder=folder, data=None, batch_size=8, threads=1, seconds=0.1
    )


def test_a_killed_measuring_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nkill -KILL $$\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(HiertkError, match="killed by signal 9, perhaps for want of memory"):
        measure_apart(point_settings(tmp_path, tmp_path))


def test_the_measuring_process_has_no_torch_and_counts_its_own_memory_only(
    tmp_path: Path, exported: Path
) -> None:
    settings = point_settings(exported, tmp_path).model_dump_json()
    code = f"""
import sys
from pathlib import Path
from hiertk_edge.peak_memory import peak_memory_bytes
from hiertk_edge.profiling.point import measure_point
from hiertk_edge.profiling.records import PointSettings
before = peak_memory_bytes()
settings = PointSettings.model_validate_json({settings!r})
point = measure_point(settings).point
modules = set(sys.modules) & {{"torch", "onnx", "hiertk", "hiertk_cloud", "torchvision"}}
print(before, point.peak_memory_bytes, sorted(modules))
"""
    ballast = np.ones(200 << 20, np.uint8)  # of the process that starts the other
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    del ballast
    before, peak, modules = done.stdout.split(maxsplit=2)
    assert modules.strip() == "[]"
    assert 10e6 < int(before) < int(peak) < 150e6


def cut(folder: Path, number: int, manifest: Manifest | None = None) -> None:
    write_bundle(folder / f"split-{number}", manifest or make_manifest(split=number))


def test_cuts_are_opened_by_rising_separation_point(tmp_path: Path) -> None:
    for number in (10, 9, 2):
        cut(tmp_path, number)
    (tmp_path / "notes.txt").write_text("not a cut")
    assert [bundle.manifest.model.split for bundle in open_cuts(tmp_path)] == [2, 9, 10]


def test_a_single_bundle_is_one_cut(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    assert len(open_cuts(tmp_path / "bundle")) == 1


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"model": {"stem": "torchvision"}}, "split-2 has another network than .*split-1"),
        ({"model": {"bottleneck": 2}}, "another network"),
        ({"input": {"mean": (0.0, 0.0, 0.0)}}, "another input"),
        ({"engine": {"version": "1"}}, "another engine"),
        ({"classes": {"names": ("red", "green")}}, "another class map"),
        ({"model": {"split": 1}}, "a separation point is there twice"),
    ],
)
def test_cuts_of_another_kind_are_refused(
    tmp_path: Path, update: dict[str, dict[str, Any]], message: str
) -> None:
    cut(tmp_path, 1)
    manifest = make_manifest(split=2)
    changed = {
        name: getattr(manifest, name).model_copy(update=values) for name, values in update.items()
    }
    cut(tmp_path, 2, manifest.model_copy(update=changed))
    with pytest.raises(BundleError, match=message):
        open_cuts(tmp_path)


def test_a_damaged_cut_is_refused(tmp_path: Path) -> None:
    cut(tmp_path, 1)
    (tmp_path / "split-2").mkdir()
    with pytest.raises(BundleError, match=r"split-2/manifest\.json: No such file"):
        open_cuts(tmp_path)


def test_golden_images_come_back_through_files_as_they_were(tmp_path: Path, exported: Path) -> None:
    bundle = open_bundle(exported)
    found = open_images(None, bundle, tmp_path / "images")
    golden = GoldenSteps(bundle)
    assert len(found) == 8 * golden.labels.size
    upright = sorted((tmp_path / "images").glob("*/*-0.png"), key=lambda path: path.name)
    for path, wanted, label in zip(
        upright,
        golden.images.reshape(-1, 3, 32, 32),
        golden.labels.reshape(-1).tolist(),
        strict=True,
    ):
        got = preprocess(read_image(path), bundle.manifest.input)
        assert np.abs(got - wanted).max() < 1e-5
        assert path.parent.name == str(label)


def test_no_image_is_twice_in_a_batch_of_golden_images(tmp_path: Path, exported: Path) -> None:
    found = open_images(None, open_bundle(exported), tmp_path / "images")
    batch = next(full_batches(found, 150))
    assert len({image.tobytes() for image in batch.images}) == 150


def test_batches_are_full_and_without_end(tmp_path: Path) -> None:
    found = source(tmp_path, 3)
    batches = list(islice(full_batches(found, 4), 7))
    assert [len(batch.labels) for batch in batches] == [4] * 7
    assert len({batch.images.tobytes() for batch in batches}) > 2


@pytest.mark.parametrize("damaged", [0, 6])
def test_too_few_readable_images_are_refused(tmp_path: Path, damaged: int) -> None:
    found = source(tmp_path, 3)
    for path in sorted(tmp_path.glob("*/*"))[:damaged]:
        path.write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=f"9 images, {damaged} of them unreadable, make no batch"):
        list(islice(full_batches(found, 9 if damaged else 10), 3))


class SlowForward:
    """A learner whose inference form takes longer than its training step."""

    edge_step = 0
    learning_rate = 0.1
    fixed_batch_size = None
    open_slots = frozenset(range(4))

    def can_train(self, samples: int) -> bool:
        return samples > 0

    def forward_backward(self, *_inputs: Any, **_more: Any) -> StepResult:
        time.sleep(0.002)
        return _RESULT

    def update(self) -> None:
        time.sleep(0.001)

    def evaluate(self, *_inputs: Any, **_more: Any) -> StepResult:
        time.sleep(0.005)
        return _RESULT

    def step(self, *_inputs: Any, **_more: Any) -> StepResult:
        raise AssertionError

    def never(self, *_inputs: Any, **_more: Any) -> Any:
        raise AssertionError

    save = exit_rows = open_slot = close_slot = adjust = never


_RESULT = StepResult(0.0, np.zeros((4, 4, 4, 4), np.float32), np.zeros((4, 4), np.float32))


def test_the_parts_of_a_step_are_the_whole_and_never_negative(tmp_path: Path) -> None:
    meter = StepMeter(SlowForward(), source(tmp_path, 3), 4)
    for _ in range(3):
        _, batch = meter.measure()
        meter.measure_forward(batch)
    step = meter.step_time()
    assert (step.samples, step.backward_ms) == (4, 0)
    assert 3 <= step.total_ms < 5
    assert meter.prepare_ms > 0


def hand_over(tmp_path: Path, size: int) -> WireMeter:
    manifest = make_manifest(shape=(4, size, size))
    generator = np.random.default_rng(0)
    batch = next(full_batches(source(tmp_path / "images", 3), 4))
    features = generator.random((4, 4, size, size), np.float32)
    spool = Spool(tmp_path / "spool.sqlite", bundle_id=manifest.bundle_id, device=DEVICE)
    meter = WireMeter(manifest, 4, spool)
    for step in range(3):
        meter.hand_over(StepResult(1.0, features, features[:, 0, :4, 0]), batch, edge_step=step)
    assert spool.totals.held == 0
    wire = meter.wire(4)
    assert spool.totals.spooled == (0 if wire is None else 3 * wire.messages)
    spool.close()
    return meter


def test_the_wire_counts_what_the_uplink_sends(tmp_path: Path) -> None:
    wire = hand_over(tmp_path, 200).wire(4)
    assert wire is not None
    packed = 4 * 4 * 200 * 200 // 2  # random nibbles do not compress
    assert (wire.bits, wire.samples, wire.messages) == (4, 4, 4)
    assert packed < wire.bytes < packed + 4 * 250
    assert wire.handover_ms > wire.quantize_ms > 0


def test_features_too_large_for_a_message_are_no_wire_but_a_reason(tmp_path: Path) -> None:
    meter = hand_over(tmp_path, 250)
    assert meter.wire(4) is None
    assert meter.refusal is not None
    assert "the features of one image take" in meter.refusal


def test_the_median_stands_against_one_slow_moment() -> None:
    watch = Stopwatch()
    for seconds in (0.001, 0.5, 0.002):
        watch.add("step", seconds)
    assert watch.median_ms("step") == 2


def test_turns_last_as_long_as_asked_and_two_at_least() -> None:
    assert list(turns(0)) == [0, 1]
    started, count = time.monotonic(), 0
    for _ in turns(0.1):
        count += 1
        time.sleep(0.01)
    assert count > 2
    assert 0.1 <= time.monotonic() - started < 1


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"cannot work in .*: No such file"),
        work_folder(tmp_path / "none"),
    ):
        pytest.fail("there is no such folder")
