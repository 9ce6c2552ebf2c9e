"""A device asks the cloud over a real broker, secured as `hiertk-cloud provision` secures it."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
import pytest
import torch
from edge_parts import make_manifest
from hiertk_cloud.opening import open_service
from hiertk_cloud.report import Reporter
from hiertk_cloud.service import CloudService
from hiertk_cloud.settings import ServiceSettings
from hiertk_edge.images import Pixels, normalize
from hiertk_edge.prediction.predictor import CloudHelp, PredictionCounts, Predictor
from hiertk_edge.spool import Spool
from hiertk_edge.training.turns import Turns
from hiertk_edge.uplink import Uplink
from hiertk_protocol.codec import quantize
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.hiertk_pb2 import DeviceStatus, PredictReply
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.prediction_messages import PredictionContract
from hiertk_protocol.topics import Topics
from mqtt_client import PATIENCE_S, wait_until
from numpy_learner import NumpyLearner
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from secured_broker import SecuredBroker, TlsClient, open_folder
from torch import nn

MANIFEST = make_manifest()
TOPICS = Topics(MANIFEST.deployment)
CONTRACT = PredictionContract(MANIFEST)


@dataclass(frozen=True)
class Parties:
    """A broker, the cloud service, and two devices: pi-1 has a certificate, pi-2 a password."""

    broker: SecuredBroker
    service: CloudService
    pi_1: Credentials
    pi_2: Credentials


@contextmanager
def serving(broker: SecuredBroker, state: Path) -> Iterator[CloudService]:
    """Run the cloud service in a thread, and end it as Ctrl-C does."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(MANIFEST.features.values, MANIFEST.classes.capacity)
    )
    is_over = threading.Event()

    def each_second() -> None:
        if is_over.is_set():
            raise KeyboardInterrupt

    with (
        open_service(
            MANIFEST,
            module,
            broker=parse_broker(broker.service_url),
            state=state,
            settings=ServiceSettings(credentials=broker.service),
            reporter=Reporter(as_json=True),
        ) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        outcome = pool.submit(service.run, each_second)
        wait_until(lambda: service.view.health().is_connected or outcome.done())
        try:
            yield service
        finally:
            is_over.set()
            outcome.result(PATIENCE_S)


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    with open_folder() as folder, ExitStack() as stack:
        broker = SecuredBroker(folder)
        pi_1 = broker.provision("pi-1", deployment=MANIFEST.deployment)
        pi_2 = broker.provision("pi-2", kind="password")
        stack.enter_context(broker)
        service = stack.enter_context(serving(broker, tmp_path_factory.mktemp("cloud")))
        yield Parties(broker, service, pi_1, pi_2)


@pytest.fixture
def uplink(parties: Parties, tmp_path: Path) -> Iterator[Uplink]:
    spool = Spool(tmp_path / "spool.sqlite", bundle_id=MANIFEST.bundle_id, device="pi-1")
    with closing(spool):
        uplink = Uplink(
            parse_broker(parties.broker.url),
            deployment=MANIFEST.deployment,
            device="pi-1",
            spool=spool,
            credentials=parties.pi_1,
        )
        uplink.start()
        wait_until(lambda: uplink.cloud_is_online)
        yield uplink
        uplink.stop(DeviceStatus.OFFLINE)


def pixels(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def unsure(uplink: Uplink, deadline_s: float = PATIENCE_S) -> Predictor:
    """A predictor that has learned nothing yet, and so asks about everything."""
    help_ = CloudHelp(uplink.ask, below=0.9, deadline_s=deadline_s)
    return Predictor(NumpyLearner(MANIFEST), MANIFEST, Turns(), cloud=help_)


def request(seed: int = 0) -> bytes:
    inputs = normalize(pixels(seed)[None], MANIFEST.input)
    features = NumpyLearner(MANIFEST).evaluate(inputs, np.zeros(1, np.int64)).features
    return CONTRACT.request(quantize(features, MANIFEST.features.bits))


@pytest.mark.parametrize("is_paused", [False, True])
def test_an_unsure_prediction_is_answered_by_the_final_exit_paused_or_not(
    parties: Parties, uplink: Uplink, is_paused: bool
) -> None:
    view = parties.service.view
    predictor = unsure(uplink)
    (view.pause if is_paused else view.resume)()
    try:
        answer = predictor.predict(pixels())
    finally:
        view.resume()
    asked = CONTRACT.read_request(request()).features
    (final,) = parties.service.between_steps(lambda learner: learner.probabilities([asked]))
    assert (answer.by, answer.why, answer.cloud_step) == (
        "final exit",
        "the early exit was not sure",
        0,
    )
    names = MANIFEST.classes.names
    wanted = {name: float(final[slot]) for slot, name in enumerate(names)}
    assert dict(answer.scores.classes) == pytest.approx(wanted, abs=1e-6)
    assert predictor.counts == PredictionCounts(total=1, by_cloud=1)


def ask_as(client: TlsClient, name: str, *, reply_to: str, correlation: bytes) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic = reply_to
    properties.CorrelationData = correlation
    client.paho.publish(TOPICS.predict(name), request(), qos=1, properties=properties)


def correlation_of(message: paho.MQTTMessage) -> bytes:
    found: bytes = message.properties.CorrelationData  # type: ignore[union-attr]
    return found


def test_a_reply_goes_to_the_device_that_asked_whatever_it_asked_for(parties: Parties) -> None:
    mine, others = TOPICS.predict_reply("pi-1"), TOPICS.predict_reply("pi-2")
    with (
        TlsClient(parties.broker.url, parties.pi_1, mine, others) as pi_1,
        TlsClient(parties.broker.password_url, parties.pi_2, mine, others) as pi_2,
    ):
        ask_as(pi_1, "pi-1", reply_to=others, correlation=b"of pi-1")
        reply = pi_1.receive()
        assert (reply.topic, correlation_of(reply)) == (mine, b"of pi-1")
        ask_as(pi_2, "pi-2", reply_to=mine, correlation=b"of pi-2")
        reply = pi_2.receive()  # the first one that it got
        assert (reply.topic, correlation_of(reply)) == (others, b"of pi-2")
        assert len(PredictReply.FromString(reply.payload).probabilities) == 4
        assert pi_1.received_nothing()


def test_a_device_cannot_ask_or_answer_in_anothers_name(parties: Parties) -> None:
    with TlsClient(parties.broker.url, parties.pi_1) as forger:
        for topic in (TOPICS.predict("pi-2"), TOPICS.predict_reply("pi-1")):
            assert forger.try_to_publish(topic, request()) == "Not authorized"


def test_the_cloud_refuses_a_request_with_its_reason(parties: Parties, uplink: Uplink) -> None:
    def ask_garbage(_payload: bytes, deadline_s: float) -> bytes:
        return uplink.ask(b"garbage", deadline_s)

    help_ = CloudHelp(ask_garbage, below=0.9, deadline_s=PATIENCE_S)
    answer = Predictor(NumpyLearner(MANIFEST), MANIFEST, Turns(), cloud=help_).predict(pixels())
    assert answer.by == "early exit"
    assert answer.why.startswith("the cloud refused: prediction request: not a message")
    totals = parties.service.view.snapshot().predictions
    assert totals.refused == 1
    assert totals.answered >= 1


def test_without_a_broker_the_early_exit_stands_in_time_and_later_the_cloud_answers_again(
    parties: Parties, uplink: Uplink
) -> None:
    predictor = unsure(uplink, deadline_s=0.4)
    process = parties.broker._process
    assert process is not None
    with frozen(process):
        started = time.monotonic()
        answer = predictor.predict(pixels())
        assert 0.4 <= time.monotonic() - started < 2
        assert (answer.by, answer.why) == ("early exit", "no answer within 0.4 s")
    process.terminate()
    process.wait(PATIENCE_S)
    wait_until(lambda: not uplink.cloud_is_online)
    answer = predictor.predict(pixels())
    assert (answer.by, answer.why) == ("early exit", "the cloud is offline")
    assert predictor.counts == PredictionCounts(total=2, unanswered=2)
    parties.broker.__enter__()
    wait_until(lambda: predictor.predict(pixels()).by == "final exit")


@contextmanager
def frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a process for the moment: its connections stand, and nothing comes through."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
