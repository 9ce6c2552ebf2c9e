"""Training in bfloat16: as good as in float32, and nothing but the steps' arithmetic differs."""

from pathlib import Path
from statistics import mean

import pytest
import torch
from cloud_service.cloud_parts import MANIFEST, checked, make_message, make_module
from hiertk_cloud.config import load_config
from hiertk_cloud.training.learner import CloudLearner, Learned
from hiertk_cloud.training.precision import Precision
from hiertk_protocol.errors import ConfigError


def trained(precision: Precision) -> tuple[CloudLearner, list[float]]:
    """Return a learner after forty steps, and the loss of each."""
    learner = CloudLearner(make_module(), MANIFEST, 1e-2, precision)
    torch.manual_seed(1)
    losses = []
    for number in range(1, 41):
        outcome = learner.learn(checked(make_message(number)))
        assert isinstance(outcome, Learned)
        losses.append(outcome.loss)
    return learner, losses


def test_bfloat16_learns_as_much_as_float32_does_with_other_arithmetic() -> None:
    (exact, exact_losses), (mixed, mixed_losses) = trained("float32"), trained("bfloat16")
    assert mean(mixed_losses[-10:]) < 0.5 * mixed_losses[0]
    assert mean(mixed_losses[-10:]) == pytest.approx(mean(exact_losses[-10:]), abs=0.1)
    assert mixed_losses != exact_losses
    kept = [one.optimizer.state_dict()["state"][0]["exp_avg"].dtype for one in (exact, mixed)]
    assert kept == [torch.float32] * 2


def test_weights_statistics_and_predictions_stay_float32() -> None:
    learner, _ = trained("bfloat16")
    reference = {name: value.dtype for name, value in make_module().state_dict().items()}
    assert {name: value.dtype for name, value in learner.module.state_dict().items()} == reference
    features = checked(make_message(99)).features
    alone = CloudLearner(make_module(), MANIFEST, 1e-2)
    alone.average.load_state_dict(learner.average.state_dict())
    alone.slots.bias.copy_(learner.slots.bias)
    assert (learner.probabilities([features]) == alone.probabilities([features])).all()


def test_the_configuration_names_the_precision_and_refuses_another(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    file = tmp_path / "cloud.toml"
    head = 'bundle = "bundle"\nstate = "state"\n[broker]\nurl = "mqtt://localhost"\n[trainer]\n'
    file.write_text(head + 'precision = "bfloat16"\n')
    assert load_config(file, {}).trainer.precision == "bfloat16"
    file.write_text(head + 'precision = "half"\n')
    with pytest.raises(ConfigError, match="precision"):
        load_config(file, {})
