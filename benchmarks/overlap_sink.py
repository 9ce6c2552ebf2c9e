"""A cloud that stores and acknowledges, and does not train: the link's far end alone.

python -m benchmarks.overlap_sink BUNDLE BROKER LOG
"""

import json
import secrets
import sys
from contextlib import closing
from pathlib import Path

from hiertk_cloud.ingest.ingest import Ingest
from hiertk_cloud.ingest.limits import Limits
from hiertk_cloud.log import DurableLog
from hiertk_protocol import console
from hiertk_protocol.bundle import open_bundle
from hiertk_protocol.hiertk_pb2 import ModelStatus
from hiertk_protocol.messages import MAX_MESSAGE_BYTES
from hiertk_protocol.mqtt import Handlers, Incoming, MqttLink, Will, parse_broker
from hiertk_protocol.topics import Topics


def main(bundle: str, broker: str, log_path: str) -> None:
    """Take what comes until SIGTERM."""
    console.terminate_like_interrupt()
    manifest = open_bundle(Path(bundle)).manifest
    topics = Topics(manifest.deployment)

    def receive(incoming: Incoming) -> None:
        ingest.receive(incoming.topic, incoming.payload)

    def on_up() -> None:
        status = ModelStatus(
            state=ModelStatus.ONLINE,
            incarnation=secrets.randbits(64),
            max_message_bytes=MAX_MESSAGE_BYTES,
        )
        link.publish(topics.model, status.SerializeToString(), retain=True)
        print(json.dumps({"event": "started"}), flush=True)

    offline = ModelStatus(state=ModelStatus.OFFLINE)
    last_words = Will(topics.model, offline.SerializeToString())
    link = MqttLink(
        parse_broker(broker),
        client_id=f"hiertk-cloud-{manifest.deployment}",
        subscriptions=(topics.features("+"),),
        will=last_words,
        handlers=Handlers(receive, on_up, lambda _reason: None),
        max_message_bytes=Limits().payload_bytes,
    )
    with closing(DurableLog(Path(log_path), manifest.bundle_id)) as log:
        ingest = Ingest(log, manifest, publish=link.publish, tell=lambda _kind, text: print(text))
        link.start()
        try:
            while True:
                ingest.turn()
        finally:
            link.stop(last_words=last_words)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(0)
