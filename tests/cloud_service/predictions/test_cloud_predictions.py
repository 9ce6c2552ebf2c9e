"""Requests for predictions: answered by the averaged weights, bounded, no trace in training."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cloud_service.cloud_parts import (
    CLASSES,
    DEVICE,
    MANIFEST,
    SHAPE,
    SLOTS,
    OpenTrainer,
    assert_same_bits,
    checked,
    make_message,
    make_module,
    write_log,
)
from cloud_service.still_view import StillView, snapshot_at
from hiertk_cloud.api.metrics import metrics_text
from hiertk_cloud.ingest.limits import Limits
from hiertk_cloud.predictions.predictions import Predictions, PredictionTotals
from hiertk_cloud.requests import lines as request_lines
from hiertk_cloud.requests.lines import RequestLines, WaitingRequest
from hiertk_cloud.training.learner import CloudLearner
from hiertk_protocol.codec import Quantized, quantize
from hiertk_protocol.hiertk_pb2 import PredictReply, PredictRequest
from hiertk_protocol.mqtt import Incoming, Request
from hiertk_protocol.prediction_messages import MAX_PREDICT_SAMPLES, PredictionContract
from hiertk_protocol.topics import Topics

TOPICS = Topics(MANIFEST.deployment)
CONTRACT = PredictionContract(MANIFEST)


def features(samples: int = 1, seed: int = 0) -> Quantized:
    values = np.random.default_rng(seed).normal(size=(samples, *SHAPE)).astype(np.float32)
    return quantize(values, 8)


class Asked:
    """Predictions with everything around them: what was sent, what was told."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.sent: list[tuple[str, PredictReply, bytes]] = []
        self.told: list[tuple[str, str]] = []
        self.arrived = threading.Event()
        self.predictions = Predictions(
            MANIFEST,
            publish=self._publish,
            tell=lambda kind, text: self.told.append((kind, text)),
            limits=limits or Limits(),
            arrived=self.arrived,
        )

    def ask(self, payload: bytes, *, device: str = DEVICE, correlation: bytes = b"1") -> None:
        self.predictions.receive(Incoming(TOPICS.predict(device), payload, correlation))

    def _publish(self, topic: str, payload: bytes, *, request: Request) -> None:
        assert request.reply_to == ""
        assert request.expires_s > 0
        self.sent.append((topic, PredictReply.FromString(payload), request.correlation))


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def learner() -> CloudLearner:
    return CloudLearner(make_module(), MANIFEST, 1e-2)


def test_the_reply_is_what_the_averaged_weights_say(asked: Asked, learner: CloudLearner) -> None:
    for seq in range(1, 4):
        learner.learn(checked(make_message(seq)))
    asked.ask(CONTRACT.request(features(3)))
    asked.predictions.turn(learner, 3)
    ((topic, reply, correlation),) = asked.sent
    assert (topic, correlation, reply.cloud_step) == (TOPICS.predict_reply(DEVICE), b"1", 3)
    found = CONTRACT.read_reply(reply.SerializeToString(), samples=3).probabilities
    assert np.array_equal(found.argmax(axis=1), learner.predict(features(3)))
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert found.shape == (3, SLOTS)
    assert not found[:, len(CLASSES) :].any()  # exactly 0


def test_requests_of_several_devices_are_answered_in_one_turn_each_its_own(
    asked: Asked, learner: CloudLearner
) -> None:
    for number, samples in enumerate((1, 2, 1)):
        asked.ask(
            CONTRACT.request(features(samples, seed=number)),
            device=f"pi-{number}",
            correlation=bytes([number]),
        )
    asked.predictions.turn(learner, 0)
    assert [(topic, tag) for topic, _, tag in asked.sent] == [
        (TOPICS.predict_reply(f"pi-{number}"), bytes([number])) for number in range(3)
    ]
    for number, samples in enumerate((1, 2, 1)):
        alone = learner.probabilities([features(samples, seed=number)])
        together = np.array(asked.sent[number][1].probabilities).reshape(samples, SLOTS)
        assert together == pytest.approx(alone, abs=1e-6)
    assert asked.predictions.totals.answered == 3


def test_a_request_wakes_the_thread_that_answers(asked: Asked) -> None:
    asked.ask(CONTRACT.request(features()))
    assert asked.arrived.is_set()


def of_another_bundle() -> bytes:
    message = PredictRequest.FromString(CONTRACT.request(features()))
    message.bundle_id = bytes(32)
    payload: bytes = message.SerializeToString()
    return payload


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"garbage", "prediction request: not a message"),
        (of_another_bundle(), "made with bundle 0000000000000000"),
        (CONTRACT.request(features(MAX_PREDICT_SAMPLES + 1)), "shape (17, 4, 4, 4)"),
        (bytes(Limits().payload_bytes + 1), "bytes, more than"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    asked: Asked, learner: CloudLearner, payload: bytes, reason: str
) -> None:
    asked.ask(payload)
    asked.ask(CONTRACT.request(features()), correlation=b"2")
    asked.predictions.turn(learner, 0)
    (_, refused, tag), (_, answered, other) = asked.sent
    assert reason in refused.error
    assert not refused.probabilities
    assert (tag, other, answered.error) == (b"1", b"2", "")
    totals = asked.predictions.totals
    assert (totals.answered, totals.refused, totals.unusable) == (1, 1, 0)
    assert asked.told[0][0] == "refused-request"


@pytest.mark.parametrize(
    "incoming",
    [
        Incoming(TOPICS.predict(DEVICE), CONTRACT.request(features()), b""),
        Incoming(TOPICS.predict(DEVICE), CONTRACT.request(features()), bytes(65)),
        Incoming(f"{TOPICS.root}/no device/up/predict", CONTRACT.request(features()), b"1"),
    ],
)
def test_what_no_reply_could_name_is_counted_and_left(
    asked: Asked, learner: CloudLearner, incoming: Incoming
) -> None:
    asked.predictions.receive(incoming)
    asked.predictions.turn(learner, 0)
    assert asked.sent == []
    totals = asked.predictions.totals
    assert (totals.answered, totals.refused, totals.unusable) == (0, 0, 1)


def test_a_flood_is_told_so_and_harms_nobody_else(asked: Asked, learner: CloudLearner) -> None:
    payload = CONTRACT.request(features())
    for _ in range(5000):
        asked.ask(payload, device="flood")
    asked.ask(payload, device="late")
    told = [reply.error for _, reply, _ in asked.sent]
    assert set(told) == {"too many requests"}
    assert len(told) < 200  # a refusal is a message, too
    asked.sent.clear()
    asked.predictions.turn(learner, 0)
    assert [topic.split("/")[-3] for topic, _, _ in asked.sent[:2]] == ["flood", "late"]
    totals = asked.predictions.totals
    assert (totals.answered, totals.refused) == (9, 5000 - request_lines.MAX_OF_A_DEVICE)


def test_one_turn_answers_no_more_than_a_small_batch_and_the_next_ones_the_rest(
    asked: Asked, learner: CloudLearner
) -> None:
    for number in range(8):
        asked.ask(CONTRACT.request(features(MAX_PREDICT_SAMPLES)), device=f"pi-{number}")
    answered = []
    while len(asked.sent) < 8:
        asked.arrived.clear()
        asked.predictions.turn(learner, 0)
        assert asked.arrived.is_set()
        answered.append(len(asked.sent))
    assert answered == [2, 4, 6, 8]


def test_a_final_exit_that_is_not_finite_answers_with_an_error(
    asked: Asked, learner: CloudLearner
) -> None:
    with torch.no_grad():
        for parameter in learner.average.parameters():
            parameter.fill_(torch.nan)
    asked.ask(CONTRACT.request(features()))
    asked.predictions.turn(learner, 0)
    ((_, reply, _),) = asked.sent
    assert "not finite" in reply.error


def test_predictions_leave_no_trace_in_training(tmp_path: Path, learner: CloudLearner) -> None:
    write_log(tmp_path, *(make_message(seq) for seq in range(1, 13)))
    asked = Asked()
    with OpenTrainer(tmp_path) as asked_often, OpenTrainer(tmp_path) as alone:
        for _ in range(12):
            asked.ask(CONTRACT.request(features(5)))
            asked.predictions.turn(asked_often.learner, asked_often.trainer.progress.cloud_step)
            asked_often.consume(1)
        alone.consume_all()
        assert_same_bits(asked_often.state(), alone.state())
    assert asked.predictions.totals.answered == 12


def test_the_metrics_say_what_became_of_the_requests() -> None:
    counted = PredictionTotals(answered=5, refused=2, unusable=1, wait_ms=12.5)
    text = metrics_text(StillView(now=replace(snapshot_at(), predictions=counted))).decode()
    for line in (
        "hiertk_cloud_predictions_answered_total 5.0",
        "hiertk_cloud_predictions_refused_total 2.0",
        "hiertk_cloud_predictions_unusable_total 1.0",
        "hiertk_cloud_prediction_wait_seconds 0.0125",
    ):
        assert f"\n{line}\n" in text
    assert "prediction_wait_seconds" not in metrics_text(StillView()).decode()


# The lines of requests


def request(device: str, size: int = 1) -> WaitingRequest:
    return WaitingRequest(device, b"1", bytes(size))


def taken(lines: RequestLines) -> Iterator[str]:
    while (found := lines.take()) is not None:
        yield found.device


def test_devices_are_taken_in_turn() -> None:
    lines = RequestLines()
    for device in ("a", "a", "a", "b", "b", "c"):
        assert lines.put(request(device))
    assert list(taken(lines)) == ["a", "b", "c", "a", "b", "a"]
    assert lines.take() is None


def test_lines_are_bounded_by_device_by_count_and_by_bytes() -> None:
    lines = RequestLines()
    placed = [lines.put(request("a")) for _ in range(request_lines.MAX_OF_A_DEVICE + 1)]
    assert placed == [True] * request_lines.MAX_OF_A_DEVICE + [False]
    others = sum(lines.put(request(f"pi-{number}")) for number in range(200))
    assert others == request_lines.MAX_REQUESTS - request_lines.MAX_OF_A_DEVICE
    list(taken(lines))
    half = request_lines.MAX_BYTES // 2
    assert [lines.put(request(name, half)) for name in ("a", "b", "c")] == [True, True, False]
    list(taken(lines))
    assert lines.put(request("c", half))
