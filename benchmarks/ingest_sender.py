"""Sends feature messages as fast as they are taken, or at a rate, and prints how long it took.

python -m benchmarks.ingest_sender BUNDLE BROKER PLAN: one connection stands for several devices, so
that the sender costs little beside what is measured. PLAN is the JSON of a `Plan`.
"""

import json
import secrets
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from hiertk_protocol.bundle import open_bundle
from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import parse_ack
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Plan:
    """What to send.

    waits_for: "acks" of the cloud or "broker", its PUBACKs. in_flight: messages on their way at
    most. rate: messages/s, 0 for as many as are taken.
    """

    message_kib: int
    messages: int
    devices: int
    waits_for: str
    in_flight: int
    rate: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Outcome:
    """What a sender saw. began, ended: seconds. waits_s: from each publish to its ack."""

    message_bytes: int
    began: float
    ended: float
    waits_s: tuple[float, ...]


def make_body(manifest: Manifest, device: str, epoch: int, message_kib: int) -> bytes:
    """Return a feature message of about `message_kib` without a sequence number."""
    samples = 1
    for _ in range(3):  # bytes are nearly proportional to samples
        body = _message(manifest, device, epoch, samples)
        samples = max(1, round(samples * 1024 * message_kib / len(body)))
    return body


def _message(manifest: Manifest, device: str, epoch: int, samples: int) -> bytes:
    generator = np.random.default_rng(samples)
    features = generator.standard_normal((samples, *manifest.features.shape), np.float32)
    np.maximum(features, 0, out=features)  # what a ReLU leaves: half of it compresses
    labels = generator.integers(0, len(manifest.classes.names), samples).tolist()
    message = FeatureBatch(
        bundle_id=manifest.bundle_id,
        device=device,
        epoch=epoch,
        edge_step=1,
        shape=features.shape,
        features=encode(quantize(features, manifest.features.bits)),
        labels=labels,
        early_exit=labels,
        early_exit_loss=1.0,
    )
    return bytes(message.SerializeToString())


class Sender:
    """One connection that sends in the name of several devices."""

    def __init__(self, manifest: Manifest, broker: str, plan: Plan) -> None:
        self._plan = plan
        self._topics = Topics(manifest.deployment)
        self._names = [f"bench-{number}" for number in range(plan.devices)]
        self._bodies = [
            make_body(manifest, name, secrets.randbits(64), plan.message_kib)
            for name in self._names
        ]
        self._room = threading.Semaphore(plan.in_flight)
        self._done = threading.Event()
        self._left = plan.messages
        self._through = dict.fromkeys(self._names, 0)
        self._sent_at: dict[tuple[str, int], float] = {}
        self.waits_s: list[float] = []
        self._ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, f"sender-{secrets.token_hex(4)}", protocol=paho.MQTTv5
        )
        self._client.max_inflight_messages_set(0)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        if plan.waits_for == "acks":
            self._client.on_message = self._on_ack
        else:
            self._client.on_publish = lambda *_: self._settled(1)
        address = parse_broker(broker)
        self._client.connect(address.host, address.port)
        self._client.loop_start()
        if not self._ready.wait(_PATIENCE_S):
            raise TimeoutError("the broker does not answer")

    @property
    def message_bytes(self) -> int:
        return len(self._bodies[0])

    def run(self) -> tuple[float, float]:
        """Send everything; return when it began and when the last one was settled."""
        start = time.monotonic()
        for number in range(self._plan.messages):
            if self._plan.rate:
                time.sleep(max(0.0, start + number / self._plan.rate - time.monotonic()))
            self._room.acquire()
            place, seq = number % self._plan.devices, 1 + number // self._plan.devices
            name = self._names[place]
            tail = FeatureBatch(seq=seq, floor=self._through[name] + 1).SerializeToString()
            self._sent_at[name, seq] = time.monotonic()
            self._client.publish(self._topics.features(name), self._bodies[place] + tail, qos=1)
        if not self._done.wait(_PATIENCE_S):
            raise TimeoutError(f"{self._left} messages were not settled")
        return start, time.monotonic()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, *_arguments: Any) -> None:
        topics = [self._topics.ack(name) for name in self._names]
        self._client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in topics])

    def _on_ack(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        now = time.monotonic()
        name = self._topics.device_of(message.topic)
        assert name is not None
        ack = parse_ack(bytes(message.payload))
        if ack.refused:
            raise ValueError(ack.refused[0].reason)
        # In order on one connection, so nothing is ever settled beyond a gap.
        for seq in range(self._through[name] + 1, ack.through + 1):
            self.waits_s.append(now - self._sent_at.pop((name, seq)))
        settled = ack.through - self._through[name]
        self._through[name] = ack.through
        self._settled(settled)

    def _settled(self, count: int) -> None:
        self._left -= count
        if count:
            self._room.release(count)
        if self._left <= 0:
            self._done.set()


def main(bundle: str, broker: str, plan: str) -> None:
    """Send, then print one line; times are of the machine's monotonic clock."""
    sender = Sender(open_bundle(Path(bundle)).manifest, broker, Plan(**json.loads(plan)))
    start, end = sender.run()
    sender.stop()
    outcome = Outcome(sender.message_bytes, start, end, tuple(sender.waits_s))
    print(json.dumps({"event": "done", **asdict(outcome)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
