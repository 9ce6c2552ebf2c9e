"""A device's state folder, started with a grown bundle."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from grown_bundles import Generations
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.growing import grow_state
from hiertk_edge.prediction.calibration import NOT_CALIBRATED
from hiertk_edge.spool import Cursor, Spool, SpoolLimits
from hiertk_edge.state import StateFolder
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import FeatureBatch


@pytest.fixture
def pair(generations_of: Callable[[str], Generations]) -> Generations:
    return generations_of("onnxruntime")


def spool_of(state: StateFolder, bundle: Bundle) -> Spool:
    return Spool(
        state.spool,
        bundle_id=bundle.manifest.bundle_id,
        device="pi-1",
        limits=SpoolLimits(max_bytes=1 << 20, max_age_s=3600),
    )


@pytest.fixture
def state(pair: Generations, tmp_path: Path) -> StateFolder:
    """After a run with the old bundle: a message that was not sent, and a checkpoint."""
    folder = StateFolder(tmp_path)
    message = FeatureBatch(bundle_id=pair.old.manifest.bundle_id, shape=[1, 16, 16, 16])
    message.labels.append(1)
    with closing(spool_of(folder, pair.old)) as spool:
        spool.put([message], Cursor())
    checkpoints = Checkpoints(folder.checkpoints, pair.old.manifest.bundle_id)
    checkpoints.save(open_learner(pair.old), NOT_CALIBRATED)
    return folder


def test_the_spool_goes_on_with_its_messages_as_they_were_made(
    pair: Generations, state: StateFolder
) -> None:
    with closing(spool_of(state, pair.old)) as spool:
        epoch, held = spool.epoch, spool.totals.held
    grow_state(state, pair.grown)
    with closing(spool_of(state, pair.grown)) as spool:
        assert (spool.epoch, spool.totals.held, held) == (epoch, 1, 1)


def test_training_goes_on_and_starting_again_changes_nothing(
    pair: Generations, state: StateFolder
) -> None:
    for _ in range(2):
        grow_state(state, pair.grown)
    checkpoints = Checkpoints(state.checkpoints, pair.grown.manifest.bundle_id)
    learner, _ = checkpoints.open(lambda path: open_learner(pair.grown, checkpoint=path))
    assert learner.edge_step == 0
    assert len(list(state.checkpoints.iterdir())) == 2


def test_a_power_cut_between_the_parts_heals(pair: Generations, state: StateFolder) -> None:
    newer = StateFolder(state.path)
    grow_state(StateFolder(state.path / "elsewhere"), pair.grown)  # nothing there: nothing done
    checkpoints = state.checkpoints.rename(state.path / "kept")
    grow_state(newer, pair.grown)
    checkpoints.rename(state.checkpoints)
    grow_state(newer, pair.grown)
    found = Checkpoints(state.checkpoints, pair.grown.manifest.bundle_id).newest()
    assert found is not None


def test_the_old_bundle_does_not_take_a_grown_state(pair: Generations, state: StateFolder) -> None:
    grow_state(state, pair.grown)
    grow_state(state, pair.old)
    with pytest.raises(ConfigError, match="belongs to bundle"):
        spool_of(state, pair.old)


def test_a_bundle_that_was_not_grown_touches_nothing(pair: Generations, state: StateFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in state.path.rglob("*")}
    grow_state(state, pair.old)
    assert {path: path.stat().st_mtime_ns for path in state.path.rglob("*")} == before
