"""The way into the cloud: durable log and acks, against a bare subscriber that only counts."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median, quantiles
from typing import Any

import paho.mqtt.client as paho
from hiertk.brokers import Broker, MosquittoBroker
from hiertk.line_process import LineProcess
from hiertk_cloud.ingest.ingest import Ingest
from hiertk_cloud.ingest.limits import Limits
from hiertk_cloud.log import DurableLog
from hiertk_protocol.mqtt import Handlers, Incoming, MqttLink, Will, parse_broker
from hiertk_protocol.topics import Topics
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from benchmarks.figures import Figure, Target, at_least, at_most, interleave, ratios
from benchmarks.ingest_sender import Outcome, Plan
from benchmarks.workplace import Workplace, environment, python

TITLE = "Ingest: durable log and acks against a bare subscriber"
HOW = """\
A sender in a process of its own (one connection in the names of 8 devices, real feature messages of
ResNet-18 at separation point 2) publishes through a real Mosquitto at QoS 1. "Durable": `MqttLink`,
`Ingest` and `DurableLog` check each message, commit it (synchronous FULL) and acknowledge it; the
sender keeps 32 messages of 256 KiB or 96 of 4 KiB without an ack, and the time ends with the last
ack. "Bare": a paho subscriber that only counts; the sender waits for the broker's PUBACKs instead,
and the time ends with the last arrival. They take turns; ratios are taken per turn. Acks are waited
for at a rate of half the target, since at full speed the wait is the sender's own queue."""

_PATIENCE_S = 60.0
# One connection speaks for 8 devices: what they are limited to is not what is measured.
_LIMITS = Limits(message_bytes=1 << 20, messages_per_s=1e6, bytes_per_s=1e12)


@dataclass(frozen=True)
class Size:
    """A size of messages, and what is to be reached with it."""

    plan: Plan
    unit: str
    per_unit: Callable[[int], float]
    target: Target


LARGE = Size(
    Plan(message_kib=256, messages=400, devices=8, waits_for="acks", in_flight=32, rate=0),
    unit="MB/s",
    per_unit=lambda size: size / 1e6,
    target=at_least(60),
)
SMALL = Size(
    Plan(message_kib=4, messages=8000, devices=8, waits_for="acks", in_flight=96, rate=0),
    unit="msg/s",
    per_unit=lambda _size: 1.0,
    target=at_least(2000),
)
_PART = {"tiny": 0.05, "quick": 0.5, "full": 1.0}
_TURNS = {"tiny": 1, "quick": 3, "full": 7}


def measure(place: Workplace) -> list[Figure]:
    """Return rates, ratios and waits, of large and of small messages."""
    return [figure for size in (LARGE, SMALL) for figure in _of_size(size, place)]


def _of_size(size: Size, place: Workplace) -> list[Figure]:
    plan = replace(size.plan, messages=int(size.plan.messages * _PART[place.effort]))
    bench = Bench(place, plan)
    with MosquittoBroker(place.folder / "broker") as broker:
        turns = [partial(bench.durable_rate, broker), partial(bench.bare_rate, broker)]
        durable, bare = interleave(turns, _TURNS[place.effort])
        unit = size.per_unit(bench.message_bytes)
        waits = bench.waits_s(broker, rate=size.target.bound / unit / 2)
    what = f"messages of {plan.message_kib} KiB"
    figures = [
        Figure(
            what=f"{what}: durable and acknowledged",
            unit=size.unit,
            samples=tuple(unit * rate for rate in durable),
            target=size.target,
        ),
        Figure(
            what=f"{what}: bare subscriber",
            unit=size.unit,
            samples=tuple(unit * rate for rate in bare),
        ),
        Figure(
            what=f"{what}: durable / bare",
            unit="",
            samples=ratios(durable, bare),
            target=at_least(0.5),
        ),
        Figure(
            what=f"{what}: wait for an ack at half the target's rate, median",
            unit="ms",
            samples=(1e3 * median(waits),),
            target=at_most(50),
        ),
        Figure(
            what=f"{what}: wait for an ack at half the target's rate, 95th percentile",
            unit="ms",
            samples=(1e3 * quantiles(waits, n=20)[-1],),
            target=at_most(50),
        ),
    ]
    for figure in figures:
        place.tell(f"{figure.what}: {figure.text}")
    return figures


class Bench:
    """Runs a plan against what is compared; rates are messages per second."""

    def __init__(self, place: Workplace, plan: Plan) -> None:
        self._place = place
        self._plan = plan
        self.message_bytes = 0

    def durable_rate(self, broker: Broker) -> float:
        """Return the rate with checks, log and acks."""
        outcome = self._send_durably(broker, self._plan)
        return self._plan.messages / (outcome.ended - outcome.began)

    def waits_s(self, broker: Broker, rate: float) -> tuple[float, ...]:
        """Return how long each ack took at a rate."""
        return self._send_durably(broker, replace(self._plan, rate=rate)).waits_s

    def bare_rate(self, broker: Broker) -> float:
        """Return the rate at which a subscriber gets the same messages."""
        with counting(broker, self._plan.messages) as counter:
            outcome = self._send(broker, replace(self._plan, waits_for="broker"))
            return self._plan.messages / (counter.wait() - outcome.began)

    def _send_durably(self, broker: Broker, plan: Plan) -> Outcome:
        folder = self._place.folder / "log"
        folder.mkdir()
        try:
            with ingesting(self._place, broker, DurableLog(folder / "log.sqlite", self._bundle_id)):
                return self._send(broker, plan)
        finally:
            shutil.rmtree(folder)

    @property
    def _bundle_id(self) -> bytes:
        return self._place.bundle.manifest.bundle_id

    def _send(self, broker: Broker, plan: Plan) -> Outcome:
        arguments = (str(self._place.bundle.folder), broker.url, plan.to_json())
        with LineProcess(
            python("benchmarks.ingest_sender", *arguments), core=1, environment=environment()
        ) as sender:
            _, line = sender.wait_for(event="done")
        del line["event"]
        outcome = Outcome(**line)
        self.message_bytes = outcome.message_bytes
        return outcome


@contextmanager
def ingesting(place: Workplace, broker: Broker, log: DurableLog) -> Iterator[Ingest]:
    """Run the link, and the writer in a thread, as the service does; close the log."""
    manifest = place.bundle.manifest
    topics = Topics(manifest.deployment)
    up, stopping = threading.Event(), threading.Event()

    def receive(incoming: Incoming) -> None:
        ingest.receive(incoming.topic, incoming.payload)

    link = MqttLink(
        parse_broker(broker.url),
        client_id=f"hiertk-cloud-{manifest.deployment}",
        subscriptions=(topics.features("+"),),
        will=Will(topics.model, b"bench"),
        handlers=Handlers(receive, up.set, lambda _reason: None),
        max_message_bytes=_LIMITS.payload_bytes,
    )
    ingest = Ingest(
        log,
        manifest,
        publish=link.publish,
        tell=lambda kind, text: place.tell(f"{kind}: {text}"),
        limits=_LIMITS,
    )

    def write() -> None:
        while not stopping.is_set():
            ingest.turn()

    writer = threading.Thread(target=write, name="writer")
    with closing(log):
        link.start()
        if not up.wait(_PATIENCE_S):
            raise TimeoutError("the broker does not answer")
        writer.start()
        try:
            yield ingest
        finally:
            stopping.set()
            writer.join()
            link.stop()


class Counter:
    """A subscriber that only counts."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self._done = threading.Event()
        self._last = 0.0

    def on_message(self, *_arguments: Any) -> None:
        self._left -= 1
        if self._left == 0:
            self._last = time.monotonic()
            self._done.set()

    def wait(self) -> float:
        """Return when the last one came."""
        if not self._done.wait(_PATIENCE_S):
            raise TimeoutError(f"{self._left} messages never came")
        return self._last


@contextmanager
def counting(broker: Broker, wanted: int) -> Iterator[Counter]:
    """Count what comes to the cloud's topics."""
    counter, up = Counter(wanted), threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, "counter", protocol=paho.MQTTv5)
    client.on_message = counter.on_message
    client.on_subscribe = lambda *_: up.set()
    address = parse_broker(broker.url)
    client.connect(address.host, address.port)
    client.subscribe("hiertk/v1/+/+/up/features", options=SubscribeOptions(qos=1))
    client.loop_start()
    try:
        if not up.wait(_PATIENCE_S):
            raise TimeoutError("the broker does not answer")
        yield counter
    finally:
        client.disconnect()
        client.loop_stop()
