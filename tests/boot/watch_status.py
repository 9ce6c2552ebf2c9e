"""Prints what the service says of itself, a line of JSON for each status: BROKER_URL DEPLOYMENT."""

import json
import sys
import time

import paho.mqtt.client as paho
from hiertk_protocol.messages import parse_model_status
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from paho.mqtt.enums import CallbackAPIVersion

NAMES = ("state", "incarnation", "stored_total", "consumed_total", "trained_total", "refused_total")


def main() -> None:
    address, topic = parse_broker(sys.argv[1]), Topics(sys.argv[2]).model
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _client, _data, message: show(bytes(message.payload))
    client.connect(address.host, address.port)
    client.subscribe(topic, qos=1)
    client.loop_start()
    while True:
        time.sleep(60)


def show(payload: bytes) -> None:
    status = parse_model_status(payload)
    print(json.dumps({name: getattr(status, name) for name in NAMES}), flush=True)


main()
