"""A plain MQTT client for tests: what it received, and waiting for it."""

import queue
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from hiertk_protocol.mqtt import parse_broker
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions
from typing_extensions import Self

PATIENCE_S = 30.0


def wait_until(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.01)


class PlainClient:
    """Connected and, if topics are given, subscribed once it is entered."""

    def __init__(self, url: str, *topics: str, will: tuple[str, bytes] | None = None) -> None:
        self._address = parse_broker(url)
        self._topics = topics
        self._received: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._ready: queue.Queue[bool] = queue.Queue()
        name = f"test-{uuid.uuid4().hex[:8]}"
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        self.paho.on_message = self._on_message
        self.paho.on_connect = self._on_connect
        self.paho.on_subscribe = self._on_subscribe
        if will is not None:
            self.paho.will_set(*will, qos=1, retain=True)

    def __enter__(self) -> Self:
        self.paho.connect(self._address.host, self._address.port)
        self.paho.loop_start()
        self._ready.get(timeout=PATIENCE_S)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.paho.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def receive(self) -> paho.MQTTMessage:
        return self._received.get(timeout=PATIENCE_S)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._received.put(message)

    def _on_connect(self, *_arguments: Any) -> None:
        if self._topics:
            self.paho.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self._topics])
        else:
            self._ready.put(item=True)

    def _on_subscribe(self, *_arguments: Any) -> None:
        self._ready.put(item=True)
