"""A device's trained edge partition in a file: the reference's names, the device's very values."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hiertk.models import CutSpec, EdgeModel, NetworkSpec, both_sides, open_network
from hiertk_edge.commands.weights import weights
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.golden import GoldenSteps
from hiertk_edge.learner import Learner
from hiertk_edge.prediction.calibration import NOT_CALIBRATED
from hiertk_edge.state import StateFolder
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_edge.weights import ReadableLearner, write_edge_weights
from hiertk_protocol.bundle import EDGE_WEIGHTS_FORMAT, Bundle
from hiertk_protocol.errors import BundleError, ConfigError, ModelError
from hiertk_protocol.manifest import Manifest
from safetensors import safe_open
from safetensors.torch import load, load_file
from typer import Typer
from typer.testing import CliRunner

STEPS = 2


def trained(bundle: Bundle, state: Path) -> tuple[Learner, GoldenSteps]:
    """Train a device for some steps and leave its checkpoint in the state folder."""
    learner, golden = open_learner(bundle), GoldenSteps(bundle)
    for step in range(STEPS):
        learner.step(golden.images[step], golden.labels[step])
    state.mkdir()
    folder = StateFolder(state).checkpoints
    Checkpoints(folder, bundle.manifest.bundle_id).save(learner, NOT_CALIBRATED)
    return learner, golden


def reference(manifest: Manifest) -> EdgeModel:
    network = NetworkSpec(
        name=manifest.model.name,
        slots=manifest.classes.capacity,
        input_size=manifest.input.size,
        stem=manifest.model.stem,
        normalization=manifest.model.normalization,
    )
    return both_sides(open_network(network), CutSpec(network, manifest.model.split)).edge.eval()


def test_the_reference_with_these_weights_computes_what_the_device_computes(
    learner_bundle: Bundle, tmp_path: Path
) -> None:
    learner, golden = trained(learner_bundle, tmp_path / "state")
    out = tmp_path / "edge.safetensors"
    (checkpoint,) = (tmp_path / "state/checkpoints").glob("*/learner")
    written = write_edge_weights(learner_bundle, checkpoint, out)
    assert (written.edge_step, written.tensors) == (STEPS, len(load_file(out)))
    with safe_open(out, "pt") as file:
        assert file.metadata() == {
            "format": EDGE_WEIGHTS_FORMAT,
            "bundle_id": learner_bundle.manifest.bundle_id.hex(),
            "edge_step": str(STEPS),
        }
    edge = reference(learner_bundle.manifest)
    odd = edge.load_state_dict(load_file(out), strict=False)
    assert not odd.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in odd.missing_keys)
    bias = torch.from_numpy(learner_bundle.manifest.classes.bias())
    with torch.no_grad():
        logits, features = edge(torch.from_numpy(golden.images[0]), bias)
    wanted = learner.evaluate(golden.images[0], golden.labels[0])
    np.testing.assert_allclose(features.numpy(), wanted.features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(logits.numpy(), wanted.logits, rtol=1e-4, atol=1e-4)


def test_the_command_takes_the_newest_checkpoint_and_keeps_a_file_that_exists(
    resnet18_bundle: Bundle, tmp_path: Path
) -> None:
    app = Typer()
    app.command()(weights)
    state, out = tmp_path / "state", tmp_path / "new/edge.safetensors"
    command = ["--bundle", str(resnet18_bundle.folder), "--state", str(state), "--out", str(out)]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, ConfigError)
    assert "holds no checkpoint" in str(refused.exception)
    trained(resnet18_bundle, state)
    done = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(done.stdout)["edge_step"] == STEPS
    before = load(out.read_bytes())
    refused = CliRunner().invoke(app, command)
    assert "--force" in str(refused.exception)
    out.write_bytes(b"older")
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    after = load(out.read_bytes())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert "/api/models/merged" in CliRunner().invoke(app, ["--help"]).stdout


def test_a_checkpoint_that_is_none_or_diverged_gives_no_file(
    resnet18_bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "edge.safetensors"
    (tmp_path / "checkpoint").write_bytes(b"not one" * 100)
    with pytest.raises(BundleError, match="no checkpoint"):
        write_edge_weights(resnet18_bundle, tmp_path / "checkpoint", out)
    learner = open_learner(resnet18_bundle)
    assert isinstance(learner, ReadableLearner)
    golden = GoldenSteps(resnet18_bundle)
    learner.step(golden.images[0] * np.float32(np.inf), golden.labels[0])
    learner.save(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match="not finite: training has diverged"):
        write_edge_weights(resnet18_bundle, tmp_path / "checkpoint", out)
    assert not out.exists()
