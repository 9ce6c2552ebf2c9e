import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Ended, run_here
from edge_parts import DEVICE, write_bundle, write_images
from hiertk.brokers import MosquittoBroker
from hiertk.data import load, write_image_folder
from hiertk_edge.cli import main
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_protocol.bundle import Bundle, open_bundle
from hiertk_protocol.profile_file import read_edge_profile
from tiny_cloud import TinyCloud

NO_BROKER = "mqtt://127.0.0.1:9"


def edge(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hiertk_edge", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def edge_here(*arguments: str | Path, folder: Path) -> Ended:
    """Run the command line in this process: for what ends before a device trains."""
    return run_here(main, *arguments, folder=folder)


def run_arguments(bundle: Path, data: Path, broker: str = NO_BROKER) -> list[str | Path]:
    return [
        *("run", "--bundle", bundle, "--broker", broker, "--device", DEVICE),
        *("--data", f"folder:{data}"),
    ]


def summary(output: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in output.splitlines()]
    assert all(line["event"] == "progress" for line in lines[:-1])
    assert lines[-1]["event"] == "summary"
    found: dict[str, Any] = lines[-1]
    return found


def test_a_device_trains_with_the_real_engine_and_then_predicts(
    tmp_path: Path, exported: Path, mosquitto: MosquittoBroker
) -> None:
    data = write_images(tmp_path / "data", 24, size=32)
    deployment = open_bundle(exported).manifest.deployment
    command = run_arguments(exported, data, mosquitto.url)
    held_out = ("--held-out", f"folder:{data}")
    with TinyCloud(mosquitto.url, deployment, DEVICE) as cloud:
        done = edge(*command, *held_out, "--epochs", "2", "--json", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    end = summary(done.stdout)
    assert end["finished"]
    assert (end["state"], end["edge_step"], end["spool_batches"]) == ("FINISHED", 18, 0)
    assert cloud.samples == 3 * 72
    assert end["early_exit_held_out_accuracy"] > 0.8
    images = [data / "red/001.png", data / "blue/000.jpg"]
    state = tmp_path / f"hiertk-edge-{DEVICE}"
    told = edge(
        "predict", "--bundle", exported, "--state", state, "--json", *images, folder=tmp_path
    )
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    assert [max(a["classes"], key=a["classes"].get) for a in answers] == ["red", "blue"]
    assert all(sum(a["classes"].values()) == pytest.approx(1, abs=1e-4) for a in answers)


def test_verify_tells_every_check(tmp_path: Path, exported: Path) -> None:
    checked = edge("verify", "--bundle", exported, "--json", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    checks = json.loads(checked.stdout)
    assert checks[0]["what"] == "features of step 0"
    assert all(check["worst"] <= check["tolerance"] for check in checks)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "executorch"])
def test_every_command_takes_any_backends_bundle_without_a_flag(
    tmp_path: Path, bundle_of: Callable[[str], Bundle], backend: str
) -> None:
    bundle = bundle_of(backend)
    size = bundle.manifest.engine.batch_size
    images = load("fashion-mnist-mini", "train")
    write_image_folder(images, range(2 * size + 3), tmp_path / "data")
    command = run_arguments(bundle.folder, tmp_path / "data")
    options = ("--learning-rate", "0.002", "--drain-timeout", "0")
    trained = edge(*command, *options, folder=tmp_path)
    assert trained.returncode == 9, trained.stderr
    state = tmp_path / f"hiertk-edge-{DEVICE}"
    learner, _ = Checkpoints(state / "checkpoints", bundle.manifest.bundle_id).open(
        lambda checkpoint: open_learner(bundle, checkpoint=checkpoint)
    )
    assert learner.edge_step == (3 if learner.can_train(3) else 2)
    assert ("left out" in trained.stderr) == (not learner.can_train(3))

    image = next((tmp_path / "data").rglob("*.png"))
    where = ("--bundle", bundle.folder)
    told = edge("predict", *where, "--state", state, "--json", image, folder=tmp_path)
    assert len(json.loads(told.stdout)["classes"]) == 3
    assert edge("verify", *where, folder=tmp_path).returncode == 0
    options = ("--out", "device.toml", "--seconds", "0.1")
    measured = edge("profile", *where, *options, folder=tmp_path)
    assert measured.returncode == 0, measured.stderr
    profile = read_edge_profile(tmp_path / "device.toml")
    assert profile.engine.backend == backend
    samples = [step.samples for step in profile.points[0].steps]
    assert samples == ([size // 4, size] if learner.fixed_batch_size is None else [size])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_it_after_the_step_with_a_checkpoint(
    tmp_path: Path, exported: Path, number: signal.Signals, code: int
) -> None:
    data = write_images(tmp_path / "data", 24, size=32)
    command = [sys.executable, "-m", "hiertk_edge", *run_arguments(exported, data)]
    with subprocess.Popen(
        [*map(str, command), "--epochs", "1000", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as device:
        assert device.stdout is not None
        device.stdout.readline()
        second = json.loads(device.stdout.readline())
        assert second["edge_step"] > 0
        os.kill(device.pid, number)
        rest, _ = device.communicate(timeout=20)
    assert device.returncode == code
    assert not summary(rest)["finished"]
    state = tmp_path / f"hiertk-edge-{DEVICE}"
    assert list((state / "checkpoints").iterdir())


def test_a_timeout_of_draining_says_to_run_it_again(tmp_path: Path, exported: Path) -> None:
    data = write_images(tmp_path / "data", 3)
    ended = edge(*run_arguments(exported, data), "--drain-timeout", "0", "--debug", folder=tmp_path)
    assert ended.returncode == 9
    assert "1 messages are still in the spool" in ended.stderr
    assert ended.stderr.count("training goes on") == 1


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"--broker": "http://x"}, 3, "line: broker.url: broker 'http://x' is not an MQTT address"),
        ({"--device": "Pi 1"}, 3, "line: device: device name 'Pi 1' is not usable"),
        ({"--data": "data"}, 3, "line: data: should be folder:PATH or csv:PATH"),
        ({"--stream": "data"}, 3, "line: streams: should be watch:PATH or camera:"),
        ({"--endpoint": "0.0.0.0:1"}, 3, "line: endpoint.listen: 0.0.0.0 can be reached"),
        ({"--config": "none.toml"}, 3, "ConfigError: none.toml: No such file"),
        ({"--held-out": "folder:none"}, 3, "ConfigError: none: No such file"),
        ({"--bundle": "none"}, 7, "BundleError: none is neither"),
        ({"--batch-size": "1"}, 2, "Invalid value for '--batch-size'"),
        ({}, 7, "BundleError"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    tmp_path: Path, change: dict[str, str], code: int, message: str
) -> None:
    write_bundle(tmp_path / "bundle")
    write_images(tmp_path / "data", 2)
    options = {
        "--bundle": "bundle",
        "--broker": NO_BROKER,
        "--device": DEVICE,
        "--data": "folder:data",
    }
    arguments = [text for pair in (options | change).items() for text in pair]
    ended = edge_here("run", *arguments, folder=tmp_path)
    assert ended.returncode == code
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_process_leaves_with_the_same_code_and_line(tmp_path: Path) -> None:
    command = run_arguments(tmp_path / "none", tmp_path)
    ended, here = edge(*command, folder=tmp_path), edge_here(*command, folder=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, here.stdout, here.stderr)


def test_every_error_of_file_and_options_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "pi-1.toml").write_text("[training]\nepoch = 3\n")
    told = edge_here("run", "--config", "pi-1.toml", "--device", "Pi 1", folder=tmp_path)
    assert told.returncode == 3
    for wanted in (
        "5 problems in the configuration",
        "bundle is not set",
        "broker.url is not set",
        "no images: set data, streams or endpoint.listen",
        "command line: device: device name 'Pi 1' is not usable",
        "pi-1.toml: training.epoch: is not known; is training.epochs meant?",
    ):
        assert wanted in told.stderr


def test_an_option_is_above_the_file(tmp_path: Path) -> None:
    (tmp_path / "pi-1.toml").write_text(
        f'bundle = "none"\ndevice = "{DEVICE}"\ndata = "folder:none"\n'
        f'[broker]\nurl = "{NO_BROKER}"\n'
    )
    for options, missing in (((), "none"), (("--bundle", "other"), "other")):
        told = edge_here("run", "--config", "pi-1.toml", *options, folder=tmp_path)
        assert (told.returncode, f"{missing} is neither" in told.stderr) == (7, True)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    ended = edge_here(*run_arguments(tmp_path / "none", tmp_path), "--debug", folder=tmp_path)
    assert "Traceback" in ended.stderr
    assert ended.returncode == 7


def test_a_state_folder_without_a_checkpoint_cannot_predict(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    ended = edge_here("predict", "--bundle", bundle, "--state", tmp_path, "a.png", folder=tmp_path)
    assert (ended.returncode, "no checkpoint" in ended.stderr) == (3, True)


def test_the_device_imports_no_toolkit_and_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, hiertk_edge.cli, hiertk_edge.device, hiertk_edge.predict, hiertk_edge.golden;"
        "print([m for m in ('torch', 'onnx', 'hiertk', 'onnxruntime') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
