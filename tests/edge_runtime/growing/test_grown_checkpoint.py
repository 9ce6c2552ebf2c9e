"""What a device learned goes on with a grown bundle, in every engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from grown_bundles import BATCH, CLASSES, NEW_SLOTS, OLD_SLOTS, Generations
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.growing.generation import carry_over
from hiertk_edge.growing.ort_schema import open_schema
from hiertk_edge.growing.ort_tensors import read_tensor
from hiertk_edge.learner import Float32Array, Learner, SlotArray
from hiertk_edge.prediction.calibration import NOT_CALIBRATED, Calibration
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_edge.training.checkpoints import generations as generations_in
from hiertk_edge.weights import ReadableLearner
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError

STEPS = 4
CALIBRATION = Calibration(temperature=1.5, samples=60, error_before=0.2, error_after=0.1)
# Two programs of one network may round differently; AdamW makes a step of any difference.
ROUNDING = 1e-4


def batch(seed: int, classes: int = len(CLASSES)) -> tuple[Float32Array, SlotArray]:
    generator = np.random.default_rng(seed)
    images = generator.standard_normal((BATCH, 3, 32, 32)).astype(np.float32)
    return images, generator.integers(0, classes, BATCH)


def trained(bundle: Bundle, folder: Path, calibration: Calibration = NOT_CALIBRATED) -> Learner:
    learner, _ = checkpoints(bundle, folder).open(
        lambda path: open_learner(bundle, checkpoint=path)
    )
    for seed in range(STEPS):
        learner.step(*batch(seed))
    checkpoints(bundle, folder).save(learner, calibration)
    return learner


def checkpoints(bundle: Bundle, folder: Path) -> Checkpoints:
    return Checkpoints(folder, bundle.manifest.bundle_id)


def opened(bundle: Bundle, folder: Path) -> tuple[Learner, Calibration]:
    return checkpoints(bundle, folder).open(lambda path: open_learner(bundle, checkpoint=path))


def exit_weight(learner: Learner) -> Float32Array:
    assert isinstance(learner, ReadableLearner)
    return learner.parameters()["exit.weight"]


def moments(path: Path) -> dict[tuple[str, int], Float32Array]:
    """Read the moments of ONNX Runtime's file, by parameter and number."""
    held = open_schema().Checkpoint.Checkpoint.GetRootAs(path.read_bytes(), 0)
    found = {}
    for index in range(held.OptimizerGroups(0).OptimizerStatesLength()):
        state = held.OptimizerGroups(0).OptimizerStates(index)
        for number in range(state.MomentumsLength()):
            values = read_tensor(state.Momentums(number)).values
            found[state.ParamName().decode(), number] = values
    return found


def test_a_grown_learner_answers_as_the_old_one_did(
    generations: Generations, tmp_path: Path
) -> None:
    old = trained(generations.old, tmp_path, CALIBRATION)
    assert carry_over(tmp_path, generations.grown) == STEPS
    grown, calibration = opened(generations.grown, tmp_path)
    assert grown.edge_step == STEPS
    assert calibration == CALIBRATION
    was, now = old.evaluate(*batch(99)), grown.evaluate(*batch(99))
    assert now.logits.shape == (BATCH, NEW_SLOTS)
    assert np.abs(now.features - was.features).max() < ROUNDING
    assert np.abs(now.logits[:, : len(CLASSES)] - was.logits[:, : len(CLASSES)]).max() < ROUNDING
    assert now.loss == pytest.approx(was.loss, rel=ROUNDING)


def test_a_grown_learner_goes_on_as_the_old_one_does_moments_included(
    generations: Generations, tmp_path: Path
) -> None:
    old = trained(generations.old, tmp_path)
    carry_over(tmp_path, generations.grown)
    grown, _ = opened(generations.grown, tmp_path)
    for seed in range(STEPS, 3 * STEPS):
        was, now = old.step(*batch(seed)), grown.step(*batch(seed))
        assert now.loss == pytest.approx(was.loss, rel=ROUNDING)
    assert np.abs(exit_weight(grown)[:OLD_SLOTS] - exit_weight(old)).max() < ROUNDING


@pytest.mark.slow
def test_moments_that_began_anew_would_be_seen(
    generations_of: Callable[[str], Generations], tmp_path: Path
) -> None:
    """The test above would fail without the moments: AdamW's first steps are larger ones."""
    bundle = generations_of("torch").old
    old = trained(bundle, tmp_path)
    fresh = open_learner(bundle)
    for seed in range(STEPS, 3 * STEPS):
        old.step(*batch(seed))
    before = exit_weight(open_learner(bundle, checkpoint=_newest(bundle, tmp_path)))
    without = exit_weight(fresh)
    for seed in range(STEPS, 3 * STEPS):
        fresh.step(*batch(seed))
    moved, moved_without = exit_weight(old) - before, exit_weight(fresh) - without
    assert np.abs(moved - moved_without).max() > 10 * ROUNDING


def test_ort_keeps_every_moment_bit_for_bit_and_begins_new_ones_at_zero(
    generations_of: Callable[[str], Generations], tmp_path: Path
) -> None:
    pair = generations_of("onnxruntime")
    trained(pair.old, tmp_path)
    old = moments(_newest(pair.old, tmp_path))
    carry_over(tmp_path, pair.grown)
    grown = moments(_newest(pair.grown, tmp_path))
    assert old.keys() == grown.keys()
    assert len(old) == 2 * len(open_learner(pair.old).gradients())  # type: ignore[attr-defined]
    for name, value in old.items():
        assert value.any(), name
        assert np.array_equal(grown[name][: len(value)], value), name
        assert not grown[name][len(value) :].any(), name
    assert len(grown["exit.weight", 0]) == NEW_SLOTS


def test_new_slots_are_the_bundles_and_learn_a_class(
    generations: Generations, tmp_path: Path
) -> None:
    trained(generations.old, tmp_path)
    carry_over(tmp_path, generations.grown)
    grown, _ = opened(generations.grown, tmp_path)
    exported = exit_weight(open_learner(generations.grown))
    assert np.array_equal(exit_weight(grown)[OLD_SLOTS:], exported[OLD_SLOTS:])
    new = NEW_SLOTS - 1
    grown.open_slot(new)
    images, _ = batch(7)
    labels = np.full(BATCH, new)
    before = grown.evaluate(images, labels).loss
    for _ in range(40):
        grown.step(images, labels)
    assert grown.evaluate(images, labels).loss < before - 0.2
    checkpoints(generations.grown, tmp_path).save(grown, NOT_CALIBRATED)
    again, _ = opened(generations.grown, tmp_path)
    assert new in again.open_slots
    assert np.array_equal(exit_weight(again), exit_weight(grown))


def test_open_slots_stay_open(generations: Generations, tmp_path: Path) -> None:
    learner = trained(generations.old, tmp_path)
    learner.open_slot(OLD_SLOTS - 1)
    learner.close_slot(0)
    checkpoints(generations.old, tmp_path).save(learner, NOT_CALIBRATED)
    carry_over(tmp_path, generations.grown)
    grown, _ = opened(generations.grown, tmp_path)
    assert grown.open_slots == learner.open_slots == {1, 2, 3, OLD_SLOTS - 1}


def _newest(bundle: Bundle, folder: Path) -> Path:
    found = checkpoints(bundle, folder).newest()
    assert found is not None
    return found.learner_file


# Generations; one engine says it for all


@pytest.fixture
def pair(generations_of: Callable[[str], Generations]) -> Generations:
    return generations_of("onnxruntime")


def test_the_old_generations_stay_until_there_are_newer_ones(
    pair: Generations, tmp_path: Path
) -> None:
    trained(pair.old, tmp_path)
    carry_over(tmp_path, pair.grown)
    assert [path.name for path in generations_in(tmp_path)] == ["000000002", "000000001"]
    learner, _ = opened(pair.grown, tmp_path)
    for _ in range(2):
        checkpoints(pair.grown, tmp_path).save(learner, NOT_CALIBRATED)
    assert [path.name for path in generations_in(tmp_path)] == ["000000004", "000000003"]


def test_carrying_over_again_changes_nothing(pair: Generations, tmp_path: Path) -> None:
    trained(pair.old, tmp_path)
    assert carry_over(tmp_path, pair.grown) == STEPS
    assert carry_over(tmp_path, pair.grown) is None
    assert len(generations_in(tmp_path)) == 2


def test_a_power_cut_while_it_is_written_leaves_the_old_one(
    pair: Generations, tmp_path: Path
) -> None:
    trained(pair.old, tmp_path)
    half = tmp_path / ".000000002.1.tmp"
    half.mkdir()
    (half / "learner").write_bytes(b"half")
    assert carry_over(tmp_path, pair.grown) == STEPS
    assert opened(pair.grown, tmp_path)[0].edge_step == STEPS


def test_a_carried_over_generation_that_is_damaged_is_made_again(
    pair: Generations, tmp_path: Path
) -> None:
    trained(pair.old, tmp_path)
    carry_over(tmp_path, pair.grown)
    newest = generations_in(tmp_path)[0] / "learner"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert carry_over(tmp_path, pair.grown) == STEPS
    assert opened(pair.grown, tmp_path)[0].edge_step == STEPS


def test_only_a_bundle_that_was_grown_from_it_takes_a_checkpoint(
    pair: Generations, tmp_path: Path
) -> None:
    grown_folder, old_folder = tmp_path / "grown", tmp_path / "old"
    trained(pair.grown, grown_folder)
    trained(pair.old, old_folder)
    assert carry_over(grown_folder, pair.old) is None
    assert carry_over(old_folder, pair.old) is None
    assert carry_over(tmp_path / "none", pair.grown) is None
    with pytest.raises(BundleError, match="is a checkpoint of bundle"):
        opened(pair.old, grown_folder)


@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("torch", marks=pytest.mark.slow)])
@pytest.mark.parametrize("damage", [b"", b"\x00" * 5000, b"ODTC" * 2000])
def test_what_is_no_checkpoint_is_one_line(
    generations_of: Callable[[str], Generations], tmp_path: Path, backend: str, damage: bytes
) -> None:
    """A record may vouch for a file that no engine wrote: then it is refused, as an engine does."""
    pair = generations_of(backend)

    class Odd:
        edge_step = 1

        def save(self, path: Path) -> None:
            path.write_bytes(damage)

    checkpoints(pair.old, tmp_path).save(Odd(), NOT_CALIBRATED)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="is no checkpoint of this engine") as raised:
        carry_over(tmp_path, pair.grown)
    assert "\n" not in str(raised.value)
