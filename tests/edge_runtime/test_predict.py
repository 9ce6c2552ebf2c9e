from pathlib import Path

import numpy as np
import pytest
from edge_parts import CLASSES, make_manifest, write_images
from hiertk_edge.classes import ClassInSlot
from hiertk_edge.images import preprocess, read_image
from hiertk_edge.predict import predict
from hiertk_edge.prediction.calibration import Calibration
from hiertk_protocol.errors import ConfigError
from numpy_learner import NumpyLearner

MANIFEST = make_manifest()


@pytest.fixture
def learner(tmp_path: Path) -> NumpyLearner:
    learner = NumpyLearner(MANIFEST)
    learner.weights = np.random.default_rng(1).normal(size=learner.weights.shape).astype("f4")
    learner.weights[:, 3] = 100  # the free slot
    return learner


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_probabilities_are_over_the_open_slots_best_first_at_the_temperature(
    tmp_path: Path, learner: NumpyLearner, temperature: float
) -> None:
    folder = write_images(tmp_path / "data", 1)
    path = folder / "red/000.jpg"
    calibration = Calibration(temperature)
    (prediction,) = predict(learner, MANIFEST, [path], top=10, calibration=calibration)
    pixels = preprocess(read_image(path), MANIFEST.input)[None]
    logits = learner.evaluate(pixels, np.zeros(1, np.int64)).logits[0, :3].astype(np.float64)
    wanted = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    assert {name for name, _ in prediction.classes} == set(CLASSES)
    for name, probability in prediction.classes:
        assert probability == pytest.approx(wanted[CLASSES.index(name)], rel=1e-4)
    found = [probability for _, probability in prediction.classes]
    assert found == sorted(found, reverse=True)


def test_top_bounds_the_classes(tmp_path: Path, learner: NumpyLearner) -> None:
    folder = write_images(tmp_path / "data", 1)
    images = [folder / "red/000.jpg", folder / "blue/000.jpg"]
    assert [len(p.classes) for p in predict(learner, MANIFEST, images, top=2)] == [2, 2]


def test_a_class_that_the_device_learned_has_its_name(
    tmp_path: Path, learner: NumpyLearner
) -> None:
    folder = write_images(tmp_path / "data", 1)
    learner.open_slot(3)
    learner.close_slot(1)
    known = {0: ClassInSlot("red", 1), 2: ClassInSlot("azure", 4), 3: ClassInSlot("teapot", 0)}
    (prediction,) = predict(learner, MANIFEST, [folder / "red/000.jpg"], top=10, known=known)
    assert prediction.classes[0][0] == "teapot"
    assert {name for name, _ in prediction.classes} == {"red", "azure", "teapot"}
    assert sum(probability for _, probability in prediction.classes) == pytest.approx(1)


def test_an_unreadable_image_is_named(tmp_path: Path, learner: NumpyLearner) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"a\.png: not an image"):
        predict(learner, MANIFEST, [tmp_path / "a.png"], top=1)
