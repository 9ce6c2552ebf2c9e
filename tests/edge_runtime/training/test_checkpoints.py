import logging
import random
from pathlib import Path

import numpy as np
import pytest
from edge_parts import make_manifest
from hiertk_edge.prediction.calibration import NOT_CALIBRATED, Calibration
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_protocol.errors import BundleError, StorageError
from numpy_learner import NumpyLearner

MANIFEST = make_manifest()
HOT = Calibration(2.5, 100, 0.3, 0.1)


def open_engine(checkpoint: Path | None) -> NumpyLearner:
    return NumpyLearner(MANIFEST, checkpoint)


def checkpoints_in(folder: Path) -> Checkpoints:
    return Checkpoints(folder / "checkpoints", MANIFEST.bundle_id)


def trained(steps: int) -> NumpyLearner:
    learner = NumpyLearner(MANIFEST)
    images = np.random.default_rng(0).normal(size=(4, 3, 16, 16)).astype(np.float32)
    for _ in range(steps):
        learner.step(images, np.array([0, 1, 2, 0]))
    return learner


def save(folder: Path, *steps: int) -> None:
    for count in steps:
        checkpoints_in(folder).save(trained(count), HOT)


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_without_any_it_begins_with_the_export(tmp_path: Path) -> None:
    learner, calibration = checkpoints_in(tmp_path).open(open_engine)
    assert (learner.edge_step, calibration) == (0, NOT_CALIBRATED)
    assert checkpoints_in(tmp_path).newest() is None


def test_it_goes_on_from_the_newest_and_keeps_two(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4)
    learner, calibration = checkpoints_in(tmp_path).open(open_engine)
    assert (learner.edge_step, calibration) == (4, HOT)
    assert isinstance(learner, NumpyLearner)
    assert np.array_equal(learner.weights, trained(4).weights)
    assert generations(tmp_path) == ["000000003", "000000004"]


@pytest.mark.parametrize("name", ["learner", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped", "longer"])
def test_a_damaged_one_is_put_aside_and_the_one_before_it_taken(
    tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1, 2)
    file = tmp_path / "checkpoints/000000002" / name
    harm(file, damage)
    with caplog.at_level(logging.WARNING):
        learner, _ = checkpoints_in(tmp_path).open(open_engine)
    assert learner.edge_step == 1
    assert "is damaged" in caplog.text
    assert generations(tmp_path) == ["000000001", "damaged-000000002"]
    checkpoints_in(tmp_path).save(trained(5), HOT)
    assert generations(tmp_path) == ["000000001", "000000002", "damaged-000000002"]
    assert checkpoints_in(tmp_path).open(open_engine)[0].edge_step == 5


def harm(file: Path, damage: str) -> None:
    data = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
        return
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    changed = {"empty": bytearray(), "cut": data[:-5], "longer": data + b"!"}
    file.write_bytes(changed.get(damage, data))


def test_with_both_damaged_training_begins_anew_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1, 2)
    for number in (1, 2):
        harm(tmp_path / f"checkpoints/00000000{number}/learner", "cut")
    assert checkpoints_in(tmp_path).open(open_engine)[0].edge_step == 0
    assert "training begins anew" in caplog.text


def test_random_damage_anywhere_is_never_taken_for_a_checkpoint(tmp_path: Path) -> None:
    source = random.Random(5)
    save(tmp_path, 1, 2)
    good = {path: path.read_bytes() for path in (tmp_path / "checkpoints/000000002").iterdir()}
    weights = {step: trained(step).weights for step in (0, 1, 2)}
    for _ in range(60):
        path = source.choice(list(good))
        data = bytearray(good[path])
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        path.parent.mkdir(exist_ok=True)
        for other, content in good.items():
            other.write_bytes(content)
        path.write_bytes(data[: source.randrange(len(data) + 1)] if source.random() < 0.3 else data)
        learner, _ = checkpoints_in(tmp_path).open(open_engine)
        assert isinstance(learner, NumpyLearner)
        assert np.array_equal(learner.weights, weights[learner.edge_step])
        assert learner.edge_step in (1, 2)


def test_one_of_another_bundle_is_refused_and_stays(tmp_path: Path) -> None:
    other = make_manifest(split=2).bundle_id
    Checkpoints(tmp_path / "checkpoints", other).save(trained(1), HOT)
    with pytest.raises(BundleError, match="another state folder"):
        checkpoints_in(tmp_path).open(open_engine)
    assert generations(tmp_path) == ["000000001"]


def test_a_whole_one_that_the_engine_refuses_is_no_damage(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)

    def refuse(checkpoint: Path | None) -> NumpyLearner:
        raise BundleError(f"{checkpoint} is of another engine")

    with pytest.raises(BundleError, match="another engine"):
        checkpoints_in(tmp_path).open(refuse)
    assert generations(tmp_path) == ["000000001", "000000002"]


def test_what_a_killed_save_left_does_not_count(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "checkpoints/.000000002.77.tmp").mkdir()
    (tmp_path / "checkpoints/.000000002.77.tmp/learner").write_bytes(b"half")
    assert checkpoints_in(tmp_path).open(open_engine)[0].edge_step == 1
    assert generations(tmp_path) == ["000000001"]
    save(tmp_path, 2)
    assert checkpoints_in(tmp_path).open(open_engine)[0].edge_step == 2


def test_a_disk_that_refuses_leaves_the_older_ones(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)

    class Refusing(NumpyLearner):
        def save(self, path: Path) -> None:
            path.write_bytes(b"half of it")
            raise StorageError(f"cannot write {path}: No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        checkpoints_in(tmp_path).save(Refusing(MANIFEST), HOT)
    assert generations(tmp_path) == ["000000001", "000000002"]


def test_the_single_file_of_older_devices_is_taken(tmp_path: Path) -> None:
    trained(3).save(tmp_path / "checkpoint")
    assert checkpoints_in(tmp_path).open(open_engine)[0].edge_step == 3
