"""Every backend's class slots: opened, filled, closed and kept, without a rebuild."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import export_fashion
from hiertk.export.optimizer import OptimizerFlags
from hiertk.export.parity import InspectableLearner
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.engines.ort_engine import import_engine
from hiertk_edge.learner import Float32Array, Learner
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError
from hiertk_protocol.manifest import AdamW, class_bias
from hiertk_protocol.new_class import ExitRow
from learner_parts import batches, equal, open_inspectable
from safetensors.numpy import load_file, save_file
from torch.nn.functional import cross_entropy

NEW = 12
EXPORTED = frozenset(range(10))


def drawn_row(learner: Learner, seed: int = 1) -> ExitRow:
    channels = len(learner.exit_rows([0])[0].weight)
    values = np.random.default_rng(seed).normal(size=channels).astype(np.float32)
    return ExitRow(values, 0.5)


def drawn_prior() -> Float32Array:
    prior: Float32Array = -np.arange(16, dtype=np.float32) / np.float32(3)
    prior[13:] = 0
    return prior


def rewrite_open_slots(bundle: Bundle, path: Path, text: str | None) -> None:
    """Write another word for the open slots into a checkpoint, or none."""
    if bundle.manifest.engine.backend == "onnxruntime":
        _, api = import_engine()
        kept = api.CheckpointState.load_checkpoint(str(path))
        state = api.CheckpointState.load_checkpoint(str(bundle.path("edge/checkpoint")))
        for name in ("hiertk_bundle_id", "hiertk_edge_step"):
            state.properties[name] = kept.properties[name]
        if text is not None:
            state.properties["hiertk_open_slots"] = text
        api.CheckpointState.save_checkpoint(state, str(path))
        return
    metadata = {"hiertk_bundle_id": bundle.manifest.bundle_id.hex(), "hiertk_edge_step": "0"}
    more = {} if text is None else {"hiertk_open_slots": text}
    save_file(load_file(path), path, metadata | more)


def test_a_row_changes_exactly_its_slots_logit(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    learner = open_learner(learner_bundle)
    assert learner.open_slots == EXPORTED
    before = learner.evaluate(images, labels)
    row = drawn_row(learner)
    learner.open_slot(NEW, row)
    assert learner.open_slots == EXPORTED | {NEW}
    after = learner.evaluate(images, labels)
    others = [slot for slot in range(16) if slot != NEW]
    assert np.array_equal(before.logits[:, others], after.logits[:, others])
    wanted = after.features.mean(axis=(2, 3)) @ row.weight + row.bias
    assert np.allclose(after.logits[:, NEW], wanted, atol=1e-5)
    (kept,) = learner.exit_rows([NEW])
    assert np.array_equal(kept.weight, row.weight)
    assert kept.bias == row.bias


def test_a_row_that_was_given_is_the_callers_own(learner_bundle: Bundle) -> None:
    learner = open_learner(learner_bundle)
    learner.exit_rows([3])[0].weight[:] = 7
    assert not (learner.exit_rows([3])[0].weight == 7).any()


def test_a_new_class_is_learned_beside_the_others(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    labels = np.where(labels == labels[0], NEW, labels % 3)
    rate = 5e-3 if learner_bundle.manifest.optimizer.name == "adamw" else 5e-2
    learner = open_learner(learner_bundle, learning_rate=rate)
    learner.open_slot(NEW)
    results = [learner.step(images, labels) for _ in range(15)]
    probabilities = torch.from_numpy(results[-1].logits).softmax(1).numpy()
    for slot in (0, 1, 2, NEW):
        is_it = labels == slot
        assert probabilities[is_it, slot].mean() > probabilities[~is_it, slot].mean()
    assert results[-1].loss < 0.75 * results[0].loss


def test_a_closed_slot_has_probability_zero_and_no_gradient(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    labels[labels == 4] = 5
    learner = open_inspectable(learner_bundle)
    row = drawn_row(learner)
    learner.open_slot(4, replace(row, weight=100 * row.weight))
    learner.close_slot(4)
    logits = learner.forward_backward(images, labels).logits
    probabilities = torch.from_numpy(logits).softmax(1).numpy()
    assert not probabilities[:, 4].any()
    assert not learner.gradients()["exit.weight"][4].any()
    assert not learner.gradients()["exit.bias"][4].any()
    with pytest.raises(ConfigError, match="label 4 has no class: slots 0-3, 5-9 are open"):
        learner.step(images, np.full_like(labels, 4))


def test_a_prior_trains_as_pytorchs_cross_entropy_of_logits_and_prior(
    learner_bundle: Bundle,
) -> None:
    """And what the step returns is the exit's own."""
    (images, labels), *_ = batches(learner_bundle, 1)
    labels[:3] = NEW
    learner = open_inspectable(learner_bundle)
    learner.open_slot(NEW)
    learner.adjust(drawn_prior())
    before = learner.parameters()
    result = learner.forward_backward(images, labels)
    pooled = torch.from_numpy(result.features).mean((2, 3))
    weight, bias = (
        torch.from_numpy(before[name]).requires_grad_() for name in ("exit.weight", "exit.bias")
    )
    logits = pooled @ weight.T + bias + torch.from_numpy(class_bias(learner.open_slots, 16))
    targets = torch.from_numpy(labels)
    adjusted = cross_entropy(logits + torch.from_numpy(drawn_prior()), targets)
    adjusted.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert bias.grad is not None
    assert np.allclose(learner.gradients()["exit.weight"], weight.grad, atol=1e-5)
    assert np.allclose(learner.gradients()["exit.bias"], bias.grad, atol=1e-5)
    open_now = sorted(learner.open_slots)
    assert np.allclose(result.logits[:, open_now], logits.detach()[:, open_now], atol=1e-4)
    own = cross_entropy(logits, targets).item()
    assert result.loss == pytest.approx(own, abs=1e-4)
    assert abs(own - adjusted.item()) > 0.1


def test_a_prior_reaches_every_gradient_as_biases_of_that_size_do(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    adjusted, biased = open_inspectable(learner_bundle), open_inspectable(learner_bundle)
    adjusted.adjust(drawn_prior())
    for slot in EXPORTED:
        (row,) = biased.exit_rows([slot])
        biased.open_slot(slot, replace(row, bias=row.bias + float(drawn_prior()[slot])))
    for learner in (adjusted, biased):
        learner.forward_backward(images, labels)
    wanted = biased.gradients()
    for name, gradient in adjusted.gradients().items():
        assert np.allclose(gradient, wanted[name], rtol=1e-3, atol=1e-5), name


def test_a_prior_is_no_part_of_an_evaluation(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    learner = open_learner(learner_bundle)
    plain = learner.evaluate(images, labels)
    learner.adjust(drawn_prior())
    adjusted = learner.evaluate(images, labels)
    assert np.array_equal(plain.logits, adjusted.logits)
    assert plain.loss == adjusted.loss


def test_a_prior_that_was_taken_away_leaves_no_trace(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    one, other = open_inspectable(learner_bundle), open_inspectable(learner_bundle)
    one.adjust(drawn_prior())
    one.adjust(None)
    assert one.step(images, labels).loss == other.step(images, labels).loss
    assert equal(one.parameters(), other.parameters())


def test_a_learner_resumed_with_other_slots_is_bit_equal(
    learner_bundle: Bundle, tmp_path: Path
) -> None:
    data = batches(learner_bundle, 4)
    for _, labels in data:
        labels[labels == 7] = NEW
    learner = open_inspectable(learner_bundle)
    learner.open_slot(NEW, drawn_row(learner))
    learner.close_slot(7)
    for images, labels in data[:2]:
        learner.step(images, labels)
    learner.save(tmp_path / "checkpoint")
    resumed = open_learner(learner_bundle, checkpoint=tmp_path / "checkpoint")
    assert resumed.open_slots == (EXPORTED | {NEW}) - {7}
    for images, labels in data[2:]:
        assert learner.step(images, labels).loss == resumed.step(images, labels).loss
    assert isinstance(resumed, InspectableLearner)
    assert equal(learner.parameters(), resumed.parameters())


def test_a_learner_without_any_open_slot_is_kept(learner_bundle: Bundle, tmp_path: Path) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    learner = open_learner(learner_bundle)
    for slot in EXPORTED:
        learner.close_slot(slot)
    learner.save(tmp_path / "checkpoint")
    resumed = open_learner(learner_bundle, checkpoint=tmp_path / "checkpoint")
    assert resumed.open_slots == frozenset()
    with pytest.raises(ConfigError, match=r"slots \(none\) are open"):
        resumed.step(images, labels)


def test_a_checkpoint_of_before_has_the_exported_slots(
    learner_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    learner = open_learner(learner_bundle)
    learner.open_slot(NEW)
    learner.save(path)
    rewrite_open_slots(learner_bundle, path, None)
    assert open_learner(learner_bundle, checkpoint=path).open_slots == EXPORTED


@pytest.mark.parametrize("text", ["0 1 16", "3 2", "2 2", "-1", "1,2", "٣", "0  1", "9" * 5000])
def test_a_checkpoint_with_impossible_slots_is_refused(
    bundle_of: Callable[[str], Bundle], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "checkpoint"
    for backend in ("onnxruntime", "torch"):
        bundle = bundle_of(backend)
        open_learner(bundle).save(path)
        rewrite_open_slots(bundle, path, text)
        with pytest.raises(BundleError, match="no checkpoint of this engine: open slots") as raised:
            open_learner(bundle, checkpoint=path)
        assert len(str(raised.value)) < 400


def test_a_step_that_is_refused_changes_nothing(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    learner = open_inspectable(learner_bundle)
    learner.open_slot(NEW, drawn_row(learner))
    learner.adjust(drawn_prior())
    before = learner.parameters()
    labels[0] = NEW + 1
    with pytest.raises(ConfigError, match="label 13 has no class: slots 0-9, 12 are open"):
        learner.step(images, labels)
    assert equal(before, learner.parameters())
    assert learner.open_slots == EXPORTED | {NEW}
    assert learner.edge_step == 0


def test_inputs_are_evaluated_without_labels(learner_bundle: Bundle) -> None:
    (images, labels), *_ = batches(learner_bundle, 1)
    learner = open_learner(learner_bundle)
    labelled = learner.evaluate(images, labels)
    unlabelled = learner.evaluate(images)
    assert np.array_equal(labelled.logits, unlabelled.logits)
    assert np.array_equal(labelled.features, unlabelled.features)
    assert math.isnan(unlabelled.loss)
    learner.close_slot(0)
    assert learner.evaluate(images).logits[:, 0].max() < -1e8


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda learner: learner.open_slot(16), "slot 16: this bundle's exits have slots 0 to 15"),
        (lambda learner: learner.open_slot(-1), "slot -1"),
        (lambda learner: learner.close_slot(16), "slot 16"),
        (lambda learner: learner.exit_rows([3, -1]), "slot -1"),
        (lambda learner: learner.open_slot(NEW, ExitRow(np.ones(3, np.float32), 0)), "a row of"),
        (
            lambda learner: learner.open_slot(NEW, replace(drawn_row(learner), bias=math.inf)),
            "not finite",
        ),
        (
            lambda learner: learner.open_slot(
                NEW, ExitRow(drawn_row(learner).weight * np.float32(math.nan), 0)
            ),
            "not finite",
        ),
        (lambda learner: learner.adjust(np.zeros(10, np.float32)), r"a prior must be \(16,\)"),
        (lambda learner: learner.adjust(np.full(16, np.nan, np.float32)), "a prior must be"),
    ],
)
def test_what_no_exit_has_is_refused(
    bundle_of: Callable[[str], Bundle], ask: Callable[[Learner], Any], message: str
) -> None:
    for backend in ("onnxruntime", "torch"):
        learner = open_inspectable(bundle_of(backend))
        before = learner.parameters()
        with pytest.raises(ConfigError, match=message):
            ask(learner)
        assert equal(before, learner.parameters())
        assert learner.open_slots == EXPORTED


@pytest.fixture(params=[pytest.param("onnxruntime", marks=pytest.mark.slow), "torch"])
def decaying(
    request: pytest.FixtureRequest, bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> Bundle:
    """A bundle whose AdamW decays weights; ONNX Runtime has that in a file of its own."""
    if request.param == "torch":
        bundle = bundle_of("torch")
        decay = AdamW(weight_decay=0.5, learning_rate=0.01)
        return Bundle(bundle.folder, bundle.manifest.model_copy(update={"optimizer": decay}))
    flags = OptimizerFlags("adamw", learning_rate=0.01, weight_decay=0.5)
    small = {"model": "vgg11_bn", "split": 1, "batch_size": 4}
    return export_fashion(tmp_path / "bundle", optimizer=flags, **small)


def test_decay_shrinks_a_free_row_and_opening_sets_it(decaying: Bundle) -> None:
    (images, labels), *_ = batches(decaying, 1)
    learner = open_learner(decaying)
    exported = learner.exit_rows([NEW])[0].weight
    for _ in range(10):
        learner.step(images, labels)
    shrunk = learner.exit_rows([NEW])[0].weight
    assert np.allclose(shrunk, exported * (1 - 0.01 * 0.5) ** 10, atol=1e-6)
    row = drawn_row(learner)
    learner.open_slot(NEW, row)
    assert np.array_equal(learner.exit_rows([NEW])[0].weight, row.weight)


def test_a_slots_moments_begin_at_zero(bundle_of: Callable[[str], Bundle], tmp_path: Path) -> None:
    """Where the engine shows them: a class that is retired leaves nothing to the next."""
    bundle = bundle_of("torch")
    (images, labels), *_ = batches(bundle, 1)
    learner = open_learner(bundle)
    learner.step(images, labels)
    slot = int(labels[0])
    learner.close_slot(slot)
    learner.open_slot(slot)
    learner.save(tmp_path / "checkpoint")
    saved = load_file(tmp_path / "checkpoint")
    for kind in ("exp_avg", "exp_avg_sq"):
        for name in ("exit.weight", "exit.bias"):
            moments = saved[f"{kind}/{name}"]
            assert not moments[slot].any()
            assert moments[:10].any()
