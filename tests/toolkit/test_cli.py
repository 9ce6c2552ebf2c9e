"""The command line: tables for people, JSON for programs, one line and a code for errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Ended, run_here
from hiertk.cli import main
from hiertk_protocol.bundle import Bundle


def hiertk(*arguments: str, cwd: Path) -> Ended:
    """Run the command line in this process, which has torch loaded already."""
    return run_here(main, *arguments, folder=cwd)


def as_process(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_export_works_exactly_as_typed(tmp_path: Path) -> None:
    typed = "export --model resnet18 --split 2 --target android"
    done = as_process("-m", "hiertk", *typed.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for chosen in ("10 in 16 slots", "3 x 32 x 32", "4 bits", "resnet18-split2-android"):
        assert chosen in done.stdout
    assert (tmp_path / "resnet18-split2-android" / "manifest.json").is_file()
    again = hiertk(*typed.split(), cwd=tmp_path)
    assert again.returncode == 3
    assert again.stderr.startswith("ConfigError: resnet18-split2-android exists")
    assert again.stderr.count("\n") == 1


def test_export_as_json_is_one_object(tmp_path: Path) -> None:
    done = hiertk(
        "export", "--model", "resnet18", "--split", "1", "--target", "linux", "--bits", "8",
        "--zip", "--json", cwd=tmp_path,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["manifest"]["features"] == {"shape": [64, 8, 8], "bits": 8}
    assert (tmp_path / told["zip"]).is_file()
    assert "--bits 4" in told["notes"][0]


@pytest.mark.slow
def test_the_same_export_gives_the_same_bundle_anywhere(tmp_path: Path) -> None:
    """So devices and cloud may be given bundles that were made apart."""
    ids = []
    for name in ("one", "two"):
        done = as_process(
            "-m", "hiertk", "export", "--model", "resnet18", "--split", "1", "--target", "linux",
            "--out", name, "--json", cwd=tmp_path,
        )  # fmt: skip
        ids.append(json.loads(done.stdout)["bundle_id"])
    assert ids[0] == ids[1]


def test_inspect_shows_network_files_and_parity(resnet18_bundle: Bundle, tmp_path: Path) -> None:
    done = hiertk("inspect", str(resnet18_bundle.folder), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for shown in ("2 of 8, after layer1.1", "Ankle boot", "edge/training_model.onnx", "gradients"):
        assert shown in done.stdout
    as_json = json.loads(
        hiertk("inspect", str(resnet18_bundle.folder), "--json", cwd=tmp_path).stdout
    )
    assert as_json["deployment"] == resnet18_bundle.manifest.deployment


def test_verify_runs_the_golden_steps(resnet18_bundle: Bundle, tmp_path: Path) -> None:
    done = hiertk("verify", str(resnet18_bundle.folder), "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["verified"] is True
    assert len(told["checks"]) >= 5


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ("export --model nothing --split 2 --target android", 4, "unknown network 'nothing'"),
        ("export --model resnet18 --split 99 --target android", 4, "separation points 1 to 8"),
        (
            "export --model resnet18 --split 2 --target rpi --backend onnxruntime",
            3,
            "--backend onnxruntime does not train on --target rpi: take executorch or torch",
        ),
        (
            "export --model resnet18 --split 2 --target android --momentum 0.5",
            3,
            "--momentum: adamw has none",
        ),
        ("export --model resnet18 --split 2", 2, "--target"),
        ("inspect nowhere", 7, "neither a bundle folder nor a zip"),
        ("verify nowhere", 7, "neither a bundle folder nor a zip"),
        ("data nothing --out out", 3, "unknown data set 'nothing'"),
        ("data fashion-mnist-mini --out out --part valid", 3, "choose train or test"),
        ("data fashion-mnist-mini --out out --shard 3/2", 3, "write K/N"),
        ("demo --broker carrier-pigeon", 3, "choose mosquitto, embedded, auto"),
    ],
)
def test_errors_are_one_line_with_a_documented_code(
    tmp_path: Path, arguments: str, code: int, text: str
) -> None:
    done = hiertk(*arguments.split(), cwd=tmp_path)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []


def test_a_process_leaves_with_the_same_code_and_line(tmp_path: Path) -> None:
    done = as_process("-m", "hiertk", "inspect", "nowhere", cwd=tmp_path)
    here = hiertk("inspect", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (7, here.stdout, here.stderr)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = hiertk("inspect", "nowhere", "--debug", cwd=tmp_path)
    assert done.returncode == 7
    assert "Traceback" in done.stderr


def test_help_lists_and_slips_are_answered_without_loading_pytorch(tmp_path: Path) -> None:
    """It takes some seconds."""
    each = """
import sys
from hiertk.cli import main
for typed in sys.argv[1:]:
    sys.argv = ["hiertk", *typed.split()]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    print(f"{typed}: {code}, loaded: {sorted({'torch', 'onnxruntime'} & {*sys.modules})}")
"""
    wanted = {
        "export --help": 0,
        "models": 0,
        "export --model resnet18 --split 2": 2,
        "inspect nowhere": 7,
        "data nothing --out out": 3,
        "data fashion-mnist-mini --out out --part valid": 3,
    }
    done = as_process("-c", each, *wanted, cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if "loaded:" in line]
    assert lines == [f"{typed}: {code}, loaded: []" for typed, code in wanted.items()], done.stderr


@pytest.mark.parametrize("command", ["", "export", "inspect", "verify", "data", "demo"])
def test_help_teaches(tmp_path: Path, command: str) -> None:
    done = hiertk(*command.split(), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert len(done.stdout) > 300


def test_data_writes_a_share_as_images(tmp_path: Path) -> None:
    done = hiertk(
        "data", "fashion-mnist-mini", "--part", "test", "--shard", "2/100", "--out", "out",
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(done.stdout)["images"] == 10
    assert len(list((tmp_path / "out").rglob("*.png"))) == 10


def test_models_lists_networks_and_the_points_of_one(tmp_path: Path) -> None:
    assert "convnext_tiny" in hiertk("models", cwd=tmp_path).stdout
    told = json.loads(hiertk("models", "resnet18", "--json", cwd=tmp_path).stdout)
    assert [point["module"] for point in told["points"]][1] == "layer1.1"
    assert told["points"][1]["bytes"] == {"8": 4096, "4": 2048}
    shown = hiertk("models", "resnet18", cwd=tmp_path).stdout
    assert "layer4.1" in shown
    assert "0.67" in shown  # 2,048 of 3,072 bytes
