"""What a device trusts: bundles of its key only, and brokers and passwords from files."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edge_configs import edge_config
from edge_parts import CLASSES, DEVICE, write_bundle, write_images
from hiertk_edge.config import EdgeConfig
from hiertk_edge.device import run_device
from hiertk_edge.watch import Watch
from hiertk_protocol.bundle import sign_bundle
from hiertk_protocol.errors import BundleError, TransportError
from hiertk_protocol.signature import make_key_pair, read_private_key
from numpy_learner import open_numpy_learner


def edge(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hiertk_edge", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings(folder: Path) -> EdgeConfig:
    return edge_config(
        folder / "bundle",
        folder / "state",
        data=f"folder:{folder / 'images'}",
        training={"drain_timeout_s": 0},
        signing={"public_key": folder / "trusted.pub"},
    )


def test_a_device_trains_on_a_signed_bundle_and_touches_no_other(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    write_images(tmp_path / "images", 2)
    make_key_pair(tmp_path / "trusted")
    for signer in (None, Ed25519PrivateKey.generate()):
        if signer is not None:
            sign_bundle(tmp_path / "bundle", signer)
        with pytest.raises(BundleError, match="take one signed by"):
            run_device(settings(tmp_path), Watch(), open_engine=open_numpy_learner)
        assert not (tmp_path / "state").exists()
    sign_bundle(tmp_path / "bundle", read_private_key(tmp_path / "trusted"))
    with pytest.raises(
        TransportError, match="still in the spool"
    ):  # trained, and nobody to send to
        run_device(settings(tmp_path), Watch(), open_engine=open_numpy_learner)


@pytest.mark.parametrize("command", ["run", "predict", "verify", "profile"])
def test_every_command_refuses_a_bundle_that_its_key_did_not_sign(
    tmp_path: Path, command: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    make_key_pair(tmp_path / "trusted")
    make_key_pair(tmp_path / "other")
    sign_bundle(bundle, read_private_key(tmp_path / "other"))
    more: dict[str, tuple[str | Path, ...]] = {
        "run": ("--broker", "mqtt://127.0.0.1:9", "--device", DEVICE, "--data", "folder:none"),
        "predict": (tmp_path / "image.png",),
        "profile": ("--out", tmp_path / "profile.toml"),
    }
    done = edge(
        *(command, "--bundle", bundle, "--public-key", tmp_path / "trusted.pub"),
        *more.get(command, ()),
    )
    assert done.returncode == BundleError.exit_code, done.stderr
    assert "which is not trusted" in done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--broker", "mqtts://127.0.0.1:9", "--ca", "none.pem"), "none.pem: no such file"),
        (
            ("--broker", "mqtts://127.0.0.1:9", "--username", "pi-1", "--password-file", "none"),
            "none: No such file",
        ),
    ],
)
def test_credentials_that_cannot_be_used_end_it_at_the_start(
    tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (tmp_path / "images" / CLASSES[0]).mkdir(parents=True)
    done = edge(
        *("run", "--bundle", bundle, "--device", DEVICE, "--state", tmp_path / "state"),
        *("--data", f"folder:{tmp_path / 'images'}", *options),
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert reason in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_device_without_a_key_imports_no_cryptography() -> None:
    code = (
        "import sys; from hiertk_protocol.trust import trusted_key;"
        "import hiertk_edge.cli, hiertk_edge.device, hiertk_edge.profiling;"
        "from pathlib import Path; trusted_key(None, Path('none'));"
        "print('cryptography' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
