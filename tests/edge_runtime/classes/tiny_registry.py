"""A registry that gives every name the lowest free slot; for tests of the device."""

import secrets
import threading
from collections.abc import Mapping
from typing import Any

import paho.mqtt.client as paho
from edge_runtime.classes.class_parts import EXPORTED, class_map
from hiertk_protocol.class_map import ClassMap
from hiertk_protocol.class_requests import ClassContract, GivenSlot
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from mqtt_client import PATIENCE_S
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions


class TinyRegistry:
    """Answers requests for slots while it is entered, and publishes each version.

    asked: the names, in order. refuses: the reason that all get.
    """

    def __init__(self, url: str, manifest: Manifest, devices: tuple[str, ...]) -> None:
        self._address = parse_broker(url)
        self._topics = Topics(manifest.deployment)
        self._contract = ClassContract(manifest)
        self._capacity = manifest.classes.capacity
        self._devices = devices
        self._ready = threading.Event()
        self.newest = class_map(1, EXPORTED)
        self.asked: list[str] = []
        self.refuses = ""
        self._paho = paho.Client(
            CallbackAPIVersion.VERSION2, f"registry-{secrets.token_hex(4)}", protocol=paho.MQTTv5
        )
        self._paho.on_connect = self._on_connect
        self._paho.on_subscribe = lambda *_: self._ready.set()
        self._paho.on_message = self._on_message

    def __enter__(self) -> "TinyRegistry":  # noqa: PYI034
        self._paho.connect(self._address.host, self._address.port)
        self._paho.loop_start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    def publish(self, newer: ClassMap) -> None:
        """Make this the newest version."""
        self.newest = newer
        payload = newer.to_message().SerializeToString()
        self._paho.publish(self._topics.class_map, payload, qos=1, retain=True)

    def change(self, classes: Mapping[int, str]) -> None:
        """Make a version with these classes; None retires one."""
        version = self.newest.version + 1
        before = {one.slot: (one.name, one.since) for one in self.newest.slots}
        kept = {
            slot: known for slot, known in before.items() if classes.get(slot, known[0]) == known[0]
        }
        new = {slot: (name, version) for slot, name in classes.items() if name}
        self.publish(class_map(version, new | kept))

    def _on_connect(self, *_arguments: Any) -> None:
        topics = [self._topics.class_request(device) for device in self._devices]
        self._paho.subscribe([(topic, SubscribeOptions(qos=1)) for topic in topics])

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        name = self._contract.read_request(bytes(message.payload))
        self.asked.append(name)
        asked: Any = message.properties
        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = asked.CorrelationData
        self._paho.publish(asked.ResponseTopic, self._answer(name), qos=1, properties=properties)

    def _answer(self, name: str) -> bytes:
        if self.refuses:
            return self._contract.refusal(self.refuses)
        found = self.newest.find(name)
        if found is None:
            slot = min(set(range(self._capacity)) - self.newest.by_slot.keys())
            self.change({slot: name})
            return self._contract.reply(GivenSlot(slot, self.newest.version))
        return self._contract.reply(GivenSlot(found.slot, found.since))
