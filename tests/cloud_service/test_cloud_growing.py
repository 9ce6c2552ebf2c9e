"""A service that is restarted with a grown bundle goes on from what it learned."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch
from cloud_service.cloud_parts import (
    CLASSES,
    MANIFEST,
    SHAPE,
    SLOTS,
    make_message,
    make_module,
    write_log,
)
from hiertk_cloud.growing import grow_state
from hiertk_cloud.log import LogReader
from hiertk_cloud.state import StateFolder
from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.samples import Samples
from hiertk_cloud.training.trainer import Trainer, TrainerSettings
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.manifest import Ancestor, ClassInfo, Manifest
from hiertk_protocol.messages import FeatureContract
from torch import Tensor, nn

MORE_SLOTS = 12
BATCHES = 6


def grown_from(old: Manifest, capacity: int) -> Manifest:
    ancestor = Ancestor(bundle_id=old.bundle_id.hex(), class_capacity=old.classes.capacity)
    return old.model_copy(
        update={
            "classes": ClassInfo(names=CLASSES, capacity=capacity),
            "grown_from": (*old.grown_from, ancestor),
        }
    )


GROWN = grown_from(MANIFEST, MORE_SLOTS)


def module_of(manifest: Manifest) -> nn.Sequential:
    """The module of the bundle, with its rows behind those of the one before it."""
    module = make_module()
    assert isinstance(module, nn.Sequential)
    torch.manual_seed(1)
    wider = nn.Linear(8, manifest.classes.capacity)
    with torch.no_grad():
        old = module[-1]
        assert isinstance(old, nn.Linear)
        wider.weight[:SLOTS] = old.weight
        wider.bias[:SLOTS] = old.bias
    module[-1] = wider
    return module


def grow(folder: Path, manifest: Manifest = GROWN) -> list[str]:
    told: list[str] = []
    grow_state(StateFolder(folder), manifest, module_of(manifest), told.append)
    return told


@contextmanager
def trainer_of(folder: Path, manifest: Manifest) -> Iterator[Trainer]:
    torch.set_num_threads(1)
    with closing(LogReader(folder / "log.sqlite")) as reader:
        yield Trainer(
            CloudLearner(module_of(manifest), manifest, 1e-2),
            BatchSource(reader, manifest),
            TrainerSettings(),
            checkpoint=folder / "checkpoint.safetensors",
            bundle_id=manifest.bundle_id,
            give_turns=lambda: 0,
            on_skip=lambda _turn, reason: pytest.fail(reason),
        )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A service's folder after some training with the old bundle; half the log is consumed."""
    write_log(tmp_path, *(make_message(seq) for seq in range(1, 2 * BATCHES + 1)))
    with trainer_of(tmp_path, MANIFEST) as trainer:
        for _ in range(BATCHES):
            assert trainer.advance()
        trainer.save()
    return tmp_path


def moments(learner: CloudLearner) -> dict[str, Tensor]:
    return {
        f"{name}/{kind}": value
        for name, parameter in learner.module.named_parameters()
        for kind, value in learner.optimizer.state[parameter].items()
    }


def rows(tensors: dict[str, Tensor], slots: int) -> dict[str, Tensor]:
    return {
        name: value[:slots] if value.dim() and len(value) == MORE_SLOTS else value
        for name, value in tensors.items()
    }


def test_weights_average_and_moments_go_on_bit_for_bit(state: Path) -> None:
    with trainer_of(state, MANIFEST) as old:
        assert grow(state) == [
            f"log.sqlite goes on with bundle {GROWN.bundle_id.hex()[:16]}",
            f"the checkpoint has {MORE_SLOTS} class slots now",
        ]
        with trainer_of(state, GROWN) as grown:
            assert grown.progress == old.progress
            for held, given in (
                (old.learner.module.state_dict(), grown.learner.module.state_dict()),
                (old.learner.average.state_dict(), grown.learner.average.state_dict()),
                (moments(old.learner), moments(grown.learner)),
            ):
                assert held.keys() == given.keys()
                for name, value in rows(given, SLOTS).items():
                    assert torch.equal(value, held[name]), name
            for name, value in moments(grown.learner).items():
                if value.dim() and len(value) == MORE_SLOTS:
                    assert not value[SLOTS:].any(), name


def test_new_slots_have_the_grown_bundles_rows(state: Path) -> None:
    grow(state)
    with trainer_of(state, GROWN) as grown:
        exported = module_of(GROWN).state_dict()["7.weight"][SLOTS:]
        assert torch.equal(grown.learner.module.state_dict()["7.weight"][SLOTS:], exported)
        assert torch.equal(grown.learner.average.state_dict()["module.7.weight"][SLOTS:], exported)


def test_predictions_on_old_classes_are_the_same(state: Path) -> None:
    features = [FeatureContract(MANIFEST).check(make_message(1)).features]
    with trainer_of(state, MANIFEST) as old:
        was = old.learner.probabilities(features)
    grow(state)
    with trainer_of(state, GROWN) as grown:
        now = grown.learner.probabilities(features)
    assert now.shape == (len(was), MORE_SLOTS)
    assert abs(now[:, :SLOTS] - was).max() < 1e-6
    assert not now[:, SLOTS:].any()


def test_training_goes_on_as_it_would_have(state: Path) -> None:
    losses = []
    with trainer_of(state, MANIFEST) as old:
        while old.advance():
            losses.append(old.measures.loss)
        wanted = old.learner.module.state_dict()["7.weight"].clone()
    grow(state)
    with trainer_of(state, GROWN) as grown:
        again = []
        while grown.advance():
            again.append(grown.measures.loss)
        assert again == pytest.approx(losses, rel=1e-4)
        assert len(again) == BATCHES
        got = grown.learner.module.state_dict()["7.weight"][:SLOTS]
        assert torch.allclose(got, wanted, atol=1e-3)


def test_a_class_in_a_new_slot_is_learned(state: Path) -> None:
    grow(state)
    new = MORE_SLOTS - 1
    batch = FeatureContract(MANIFEST).check(make_message(1))
    with trainer_of(state, GROWN) as grown:
        labels = torch.full((len(batch.labels),), new).numpy()
        for _ in range(30):
            grown.learner.learn(Samples(batch.features, labels))
        assert new in grown.learner.open_slots
        assert (grown.learner.predict(batch.features) == new).mean() > 0.5


def test_growing_again_changes_nothing(state: Path) -> None:
    grow(state)
    before = (state / "checkpoint.safetensors").read_bytes()
    assert grow(state) == []
    assert (state / "checkpoint.safetensors").read_bytes() == before


def test_a_crash_between_the_parts_heals_at_the_next_start(state: Path) -> None:
    with closing(sqlite3.connect(state / "log.sqlite", isolation_level=None)) as log:
        log.execute("UPDATE owner SET bundle_id = ?", (GROWN.bundle_id,))
    assert grow(state) == [f"the checkpoint has {MORE_SLOTS} class slots now"]
    with trainer_of(state, GROWN) as grown:
        assert grown.advance()


def test_generations_may_be_left_out(state: Path) -> None:
    third = grown_from(GROWN, 20)
    grow(state, third)
    with trainer_of(state, third) as grown:
        assert grown.learner.module.state_dict()["7.weight"].shape[0] == 20
        assert grown.advance()


def test_only_a_bundle_that_was_grown_from_it_takes_a_state(state: Path) -> None:
    stranger = MANIFEST.model_copy(update={"target": "rpi"})
    assert grow(state, grown_from(stranger, MORE_SLOTS)) == []
    assert grow(state, MANIFEST) == []
    with pytest.raises(ConfigError, match="holds the state of bundle"), trainer_of(state, GROWN):
        pass
    grow(state)
    with pytest.raises(ConfigError, match="holds the state of bundle"), trainer_of(state, MANIFEST):
        pass


def test_a_folder_without_state_is_left_alone(tmp_path: Path) -> None:
    assert grow(tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_one_line(state: Path) -> None:
    path = state / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"damaged: .*remove it to train again"):
        grow(state)


def test_features_of_the_old_bundle_have_the_shape_of_the_new(state: Path) -> None:
    assert GROWN.features.shape == SHAPE
    assert GROWN.check_lineage(make_message(1).bundle_id) == SLOTS
