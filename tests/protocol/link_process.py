"""A device's process with one link, for tests that kill it: URL WILL_TOPIC."""

import sys
import threading

from hiertk_protocol.mqtt import Handlers, MqttLink, Will, parse_broker


def main() -> None:
    url, topic = sys.argv[1:]
    link = MqttLink(
        parse_broker(url),
        client_id="killed",
        subscriptions=["some/topic"],
        will=Will(topic, b"offline"),
        handlers=Handlers(
            message=lambda _incoming: None,
            up=lambda: print("up", flush=True),
            down=lambda reason: print(reason, flush=True),
        ),
        max_message_bytes=1 << 20,
    )
    link.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
