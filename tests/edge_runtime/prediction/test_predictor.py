"""Who answers, why, and what a prediction waits for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from edge_parts import CLASSES, make_manifest
from hiertk.data import load
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.images import Pixels, normalize
from hiertk_edge.learner import Float32Array, Learner, SlotArray
from hiertk_edge.prediction.calibration import Calibration
from hiertk_edge.prediction.predictor import CloudHelp, PredictionCounts, Predictor
from hiertk_edge.training.turns import Turns
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.codec import dequantize
from hiertk_protocol.errors import ProtocolError, TransportError
from hiertk_protocol.prediction_messages import FinalExitReply, PredictionContract
from mqtt_client import PATIENCE_S, wait_until
from numpy_learner import NumpyLearner

MANIFEST = make_manifest()
CONTRACT = PredictionContract(MANIFEST)
BLUE = CONTRACT.reply(FinalExitReply(77, np.array([[0.1, 0.2, 0.7, 0]], np.float32)))


def pixels(seed: int = 0, size: int = 16) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def trained() -> NumpyLearner:
    """A learner whose confidence in its answer for `pixels()` lies in between."""
    learner = NumpyLearner(MANIFEST)
    learner.weights = np.random.default_rng(1).normal(size=learner.weights.shape).astype("f4")
    return learner


class Cloud:
    """What the uplink gives: keeps the requests, and gives or raises what it was told to."""

    def __init__(self, reply: bytes | Exception) -> None:
        self.requests: list[tuple[bytes, float]] = []
        self._reply = reply

    def ask(self, payload: bytes, deadline_s: float) -> bytes:
        self.requests.append((payload, deadline_s))
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


def unsure(reply: bytes | Exception) -> tuple[Predictor, Cloud]:
    """A predictor that asks the cloud about everything."""
    cloud = Cloud(reply)
    help_ = CloudHelp(cloud.ask, below=1.0, deadline_s=0.5)
    return Predictor(trained(), MANIFEST, Turns(), cloud=help_), cloud


def test_a_device_alone_answers_with_all_open_classes_likeliest_first() -> None:
    answer = Predictor(trained(), MANIFEST, Turns()).predict(pixels())
    assert (answer.by, answer.why, answer.cloud_step) == (
        "early exit",
        "the cloud is not asked",
        None,
    )
    assert {name for name, _ in answer.scores.classes} == set(CLASSES)
    shares = [share for _, share in answer.scores.classes]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert answer.scores == answer.early


def test_a_higher_temperature_makes_it_less_sure_and_changes_no_answer() -> None:
    predictor = Predictor(trained(), MANIFEST, Turns())
    before = predictor.predict(pixels()).scores
    predictor.calibration = Calibration(temperature=3.0, samples=100)
    after = predictor.predict(pixels()).scores
    assert after.best == before.best
    assert 1 / 3 < after.confidence < before.confidence


def test_a_sure_early_exit_does_not_ask() -> None:
    cloud = Cloud(BLUE)
    confidence = Predictor(trained(), MANIFEST, Turns()).predict(pixels()).early.confidence
    for below, asked in ((confidence * 0.99, False), (confidence * 1.01, True)):
        help_ = CloudHelp(cloud.ask, below=below)
        answer = Predictor(trained(), MANIFEST, Turns(), cloud=help_).predict(pixels())
        assert (answer.why == "sure", len(cloud.requests) == 1) == (not asked, asked)


def test_below_zero_confidence_nothing_is_asked() -> None:
    cloud = Cloud(BLUE)
    predictor = Predictor(trained(), MANIFEST, Turns(), cloud=CloudHelp(cloud.ask, below=0.0))
    assert predictor.predict(pixels()).why == "the cloud is not asked"
    assert cloud.requests == []


def test_the_final_exit_replaces_an_unsure_answer_and_the_early_one_is_kept_beside() -> None:
    predictor, cloud = unsure(BLUE)
    answer = predictor.predict(pixels())
    assert (answer.by, answer.why, answer.cloud_step) == (
        "final exit",
        "the early exit was not sure",
        77,
    )
    assert [name for name, _ in answer.scores.classes] == ["blue", "green", "red"]
    assert answer.scores.confidence == pytest.approx(0.7)
    assert answer.early == Predictor(trained(), MANIFEST, Turns()).predict(pixels()).early
    assert predictor.counts == PredictionCounts(total=1, by_cloud=1)
    ((_, deadline_s),) = cloud.requests
    assert deadline_s == 0.5


def test_the_request_holds_the_features_of_this_image_and_nothing_of_the_image() -> None:
    predictor, cloud = unsure(BLUE)
    predictor.predict(pixels())
    ((payload, _),) = cloud.requests
    asked = CONTRACT.read_request(payload).features
    inputs = normalize(pixels()[None], MANIFEST.input)
    features = trained().evaluate(inputs, np.zeros(1, np.int64)).features
    assert asked.values.shape == (1, *MANIFEST.features.shape)
    assert asked.bits == MANIFEST.features.bits
    assert np.abs(dequantize(asked) - features).max() <= asked.scales.max()


@pytest.mark.parametrize(
    ("reply", "why", "counts"),
    [
        (
            TransportError("the cloud is offline"),
            "the cloud is offline",
            PredictionCounts(total=1, unanswered=1),
        ),
        (
            CONTRACT.refusal("too many requests"),
            "the cloud refused: too many requests",
            PredictionCounts(total=1, refused=1),
        ),
        (
            b"\xff\xff",
            "the cloud's reply is unusable: prediction reply: not a message of this protocol",
            PredictionCounts(total=1, refused=1),
        ),
        (
            CONTRACT.reply(FinalExitReply(1, np.array([[0, 0, 0, 1]], np.float32))),
            "the cloud's reply is unusable: it names only classes that this device does not know",
            PredictionCounts(total=1, refused=1),
        ),
    ],
)
def test_without_a_usable_reply_the_early_exit_stands_and_says_why(
    reply: bytes | Exception, why: str, counts: PredictionCounts
) -> None:
    predictor, _ = unsure(reply)
    answer = predictor.predict(pixels())
    assert answer.by == "early exit"
    assert answer.why.startswith(why)
    assert answer.scores == answer.early
    assert predictor.counts == counts


def test_what_the_cloud_says_of_classes_unknown_here_is_left_out() -> None:
    reply = CONTRACT.reply(FinalExitReply(1, np.array([[0.1, 0.4, 0.0, 0.5]], np.float32)))
    predictor, _ = unsure(reply)
    answer = predictor.predict(pixels())
    assert answer.by == "final exit"
    assert dict(answer.scores.classes) == pytest.approx({"green": 0.8, "red": 0.2, "blue": 0})


def test_training_goes_on_while_the_cloud_is_asked() -> None:
    learner, turns = trained(), Turns()
    image, label = np.zeros((1, 3, 16, 16), np.float32), np.zeros(1, np.int64)

    def ask(_payload: bytes, _deadline_s: float) -> bytes:
        def train() -> None:
            with turns.turn():
                learner.step(image, label)

        trainer = threading.Thread(target=train)
        trainer.start()
        trainer.join(PATIENCE_S)
        assert not trainer.is_alive()
        return BLUE

    predictor = Predictor(learner, MANIFEST, turns, cloud=CloudHelp(ask, below=1.0))
    answer = predictor.predict(pixels())
    assert (answer.by, answer.edge_step, learner.edge_step) == ("final exit", 0, 1)


def test_diverged_weights_give_no_answer_but_an_error() -> None:
    learner = trained()
    learner.weights[:] = np.nan
    with pytest.raises(ProtocolError, match="training diverged"):
        Predictor(learner, MANIFEST, Turns()).predict(pixels())


# With the real engine, while it trains


@contextmanager
def training(
    learner: Learner, turns: Turns, images: Float32Array, labels: SlotArray
) -> Iterator[list[int]]:
    """Train step after step in another thread; yield the edge steps that are over.

    A step is over once somebody waits, so that it is certain who asked during it.
    """
    stopping, over = threading.Event(), list[int]()

    def train() -> None:
        while not stopping.is_set():
            with turns.turn():
                learner.step(images, labels)
                wait_until(lambda: bool(turns._waiting) or stopping.is_set())
                over.append(learner.edge_step)

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        yield over
    finally:
        stopping.set()
        trainer.join(PATIENCE_S)


def test_a_prediction_during_training_waits_for_the_step_in_work_and_no_other(
    resnet18_bundle: Bundle,
) -> None:
    manifest = resnet18_bundle.manifest
    learner, turns = open_learner(resnet18_bundle), Turns()
    images, labels = load("fashion-mnist-mini", "train").tensors(range(8), manifest.input)
    predictor = Predictor(learner, manifest, turns)
    waited, edge_steps = [], []
    with training(learner, turns, images.numpy(), labels.numpy()) as over:
        for seed in range(6):
            wait_until(lambda: turns._is_held)
            before = len(over)
            edge_steps.append(predictor.predict(pixels(seed, manifest.input.size)).edge_step)
            waited.append(len(over) - before)
    assert waited == [1] * 6
    assert edge_steps == [1, 2, 3, 4, 5, 6]


def test_what_the_engine_gave_does_not_change_with_later_steps_or_predictions(
    learner_bundle: Bundle,
) -> None:
    """Features are quantized after the turn was given back, here and in training."""
    manifest = learner_bundle.manifest
    learner = open_learner(learner_bundle)
    count = manifest.engine.batch_size
    images, labels = load("fashion-mnist-mini", "train").tensors(range(count), manifest.input)
    trained_on = learner.step(images.numpy(), labels.numpy())
    asked = learner.evaluate(images[:1].numpy(), labels[:1].numpy())
    kept = [array.copy() for one in (trained_on, asked) for array in (one.features, one.logits)]
    for start in range(3):
        learner.evaluate(images[start : start + 1].numpy(), labels[start : start + 1].numpy())
        learner.step(images.numpy(), labels.numpy())
    found = [array for one in (trained_on, asked) for array in (one.features, one.logits)]
    assert all(np.array_equal(one, other) for one, other in zip(found, kept, strict=True))
