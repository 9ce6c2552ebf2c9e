"""A cloud that keeps what it receives in memory and acknowledges it; for tests of the device."""

import secrets
import threading
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from hiertk_protocol.hiertk_pb2 import Ack, DeviceStatus, FeatureBatch, ModelStatus, Refusal
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from mqtt_client import PATIENCE_S
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions


class TinyCloud:
    """Online while it is entered; its retained status says so.

    received: the sequence numbers in their order, repeats too. statuses: the device's, in order.
    """

    def __init__(
        self,
        url: str,
        deployment: str,
        device: str,
        *,
        acknowledges: bool = True,
        refused: dict[int, str] | None = None,
        max_message_bytes: int = 0,
    ) -> None:
        self._address = parse_broker(url)
        self._topics = Topics(deployment)
        self._device = device
        self._refused = refused or {}
        self._max_message_bytes = max_message_bytes
        self._ready = threading.Event()
        self._through = 0
        self.acknowledges = acknowledges
        self.incarnation = secrets.randbits(64)
        self.received: list[int] = []
        self.batches: dict[int, FeatureBatch] = {}
        self.statuses: list[DeviceStatus] = []
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, f"cloud-{secrets.token_hex(4)}", protocol=paho.MQTTv5
        )
        self.paho.reconnect_delay_set(1, 1)
        self.paho.on_connect = self._on_connect
        self.paho.on_subscribe = self._on_subscribe
        self.paho.on_message = self._on_message

    def __enter__(self) -> "TinyCloud":  # noqa: PYI034
        offline = ModelStatus(state=ModelStatus.OFFLINE).SerializeToString()
        self.paho.will_set(self._topics.model, offline, qos=1, retain=True)
        self.paho.connect(self._address.host, self._address.port)
        self.paho.loop_start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.say(ModelStatus.OFFLINE)
        self.paho.disconnect()
        self.paho.loop_stop()

    def say(self, state: ModelStatus.State) -> None:
        status = ModelStatus(
            state=state,
            incarnation=self.incarnation,
            max_message_bytes=self._max_message_bytes,
        )
        info = self.paho.publish(self._topics.model, status.SerializeToString(), qos=1, retain=True)
        if threading.current_thread() is threading.main_thread():
            info.wait_for_publish(PATIENCE_S)

    def restart(self, *, acknowledges: bool) -> None:
        """Forget all that is not acknowledged, as a killed service does."""
        self.acknowledges = acknowledges
        self.batches = {seq: b for seq, b in self.batches.items() if seq <= self._through}
        self.incarnation = secrets.randbits(64)
        self.say(ModelStatus.ONLINE)

    def acknowledge(self, ack: Ack) -> None:
        self.paho.publish(self._topics.ack(self._device), ack.SerializeToString(), qos=1)

    @property
    def samples(self) -> int:
        return sum(len(batch.labels) for batch in self.batches.values())

    def _on_connect(self, *_arguments: Any) -> None:
        topics = (self._topics.features(self._device), self._topics.status(self._device))
        self.paho.subscribe([(topic, SubscribeOptions(qos=1)) for topic in topics])

    def _on_subscribe(self, *_arguments: Any) -> None:
        self.say(ModelStatus.ONLINE)
        self._ready.set()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.topic == self._topics.status(self._device):
            self.statuses.append(DeviceStatus.FromString(message.payload))
            return
        batch = FeatureBatch.FromString(message.payload)
        self.received.append(batch.seq)
        if batch.seq not in self._refused:
            self.batches[batch.seq] = batch
        settled = self.batches.keys() | (self._refused.keys() & set(self.received))
        if self.acknowledges:
            self._through = max(self._through, batch.floor - 1)
            while self._through + 1 in settled:
                self._through += 1
            self.acknowledge(
                Ack(
                    epoch=batch.epoch,
                    through=self._through,
                    beyond=[seq for seq in self.batches if seq > self._through],
                    refused=[
                        Refusal(seq=seq, reason=reason)
                        for seq, reason in self._refused.items()
                        if seq == batch.seq
                    ],
                )
            )
