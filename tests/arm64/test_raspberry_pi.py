"""A bundle for the Raspberry Pi on an emulated one: real arm64 engines, a real broker outside."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from arm64.emulation import WORK, EmulatedMachine
from bundles import export_fashion
from hiertk.brokers import Broker
from hiertk.data import load, write_image_folder
from hiertk.demo.processes import Children
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.codec import decode
from hiertk_protocol.hiertk_pb2 import DeviceStatus, FeatureBatch
from system.system_parts import Deployment, summary, wait_for_end

pytestmark = [
    pytest.mark.arm64,
    pytest.mark.parametrize("backend", ["executorch", "torch"]),
]

BATCH_SIZE = 2
STEPS = 4
TIMEOUT_S = 300
TOLERANCE = 1e-5  # relative
TOLERANCE_AFTER_UPDATES = 1e-3

BundleOf = Callable[[str], Bundle]


@pytest.fixture(scope="session")
def exported(pi: EmulatedMachine) -> BundleOf:
    """A small bundle for each backend, in the folder that both machines see; images beside it."""
    write_image_folder(
        load("fashion-mnist-mini", "train"), range(STEPS * BATCH_SIZE), pi.shared / "images"
    )

    @cache
    def export(backend: str) -> Bundle:
        return export_fashion(
            pi.shared / backend,
            target="rpi",
            backend=backend,
            model="resnet18",
            split=1,
            batch_size=BATCH_SIZE,
            bits=8,
        )

    return export


def test_its_engine_does_the_reference_steps(
    pi: EmulatedMachine, exported: BundleOf, backend: str
) -> None:
    exported(backend)
    checks = json.loads(hiertk_edge(pi, "verify", "--bundle", f"/{WORK}/{backend}", "--json"))
    assert {"features of step 0", "loss of step 0", "loss of step 1"} <= {
        check["what"] for check in checks
    }
    assert all(check["worst"] <= check["tolerance"] for check in checks)


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_it_trains_as_this_machine_does_and_the_cloud_gets_its_messages(
    pi: EmulatedMachine, exported: BundleOf, broker: Broker, backend: str, tmp_path: Path
) -> None:
    bundle = exported(backend)
    with Children(tmp_path) as children:
        outside = Deployment(tmp_path, bundle, pi.shared, broker, children)
        outside.start_ready_cloud()
        there = hiertk_edge(
            pi, "run", *settings("pi", Path(f"/{WORK}"), backend, broker.url),
            "--state", f"/root/{backend}",
        )  # fmt: skip
        here = children.start(
            "here", "hiertk_edge", "run", *settings("here", pi.shared, backend, broker.url),
            "--state", str(tmp_path / "here"),
        )  # fmt: skip
        assert wait_for_end(here) == 0
        told = json.loads(there.splitlines()[-1])
        assert told["finished"]
        assert (told["edge_step"], told["spool_batches"]) == (STEPS, 0)
        assert told["early_exit_loss"] == pytest.approx(
            summary(here)["early_exit_loss"], TOLERANCE_AFTER_UPDATES
        )
        status = outside.retained_device_status("pi")
        assert (status.state, status.edge_step) == (DeviceStatus.FINISHED, STEPS)
        messages = list(outside.stored_messages("pi"))
        assert [message.device for message in messages] == ["pi"] * STEPS
        shape = (BATCH_SIZE, *bundle.manifest.features.shape)
        assert {tuple(message.shape) for message in messages} == {shape}
        for message, wanted in zip(messages, outside.stored_messages("here"), strict=True):
            compare(message, wanted)


def settings(device: str, folder: Path, backend: str, broker: str) -> list[str]:
    return [
        "--bundle", str(folder / backend), "--data", f"folder:{folder / 'images'}",
        "--broker", broker, "--device", device, "--json", "--drain-timeout", "60",
    ]  # fmt: skip


def hiertk_edge(pi: EmulatedMachine, *arguments: str) -> str:
    """Run the command there and return what it prints."""
    done = pi.run("hiertk-edge", *arguments, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def compare(message: FeatureBatch, wanted: FeatureBatch) -> None:
    """Demand equal loss and features, up to what rounding does."""
    assert list(message.labels) == list(wanted.labels)
    assert message.edge_step == wanted.edge_step
    # AdamW's first steps have their full length also where a gradient is nothing but rounding.
    tolerance = TOLERANCE_AFTER_UPDATES if wanted.edge_step else TOLERANCE
    assert message.early_exit_loss == pytest.approx(wanted.early_exit_loss, tolerance)
    found, right = (decode(one.features, tuple(one.shape)) for one in (message, wanted))
    np.testing.assert_allclose(found.scales, right.scales, tolerance)
    # A value on the border of two steps of the quantization may go either way.
    assert np.abs(found.values.astype(np.int16) - right.values).max() <= 1
