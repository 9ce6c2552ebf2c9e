"""`hiertk-cloud serve` as a child: when it is ready, what memory and processor it takes."""

import queue
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from hiertk.brokers import Broker
from hiertk.line_process import end_process
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.hiertk_pb2 import ModelStatus
from hiertk_protocol.messages import parse_model_status
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import Topics
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from benchmarks.processor import processor_s
from benchmarks.workplace import environment, python

_PATIENCE_S = 120.0
_STOP_TIMEOUT_S = 30.0


class ServiceProcess:
    """Started when entered and ready then, without API; ended when left.

    ready_s: from the start of the process to its first ONLINE status at a subscriber.
    """

    def __init__(self, bundle: Bundle, broker: Broker, state: Path) -> None:
        self._topic = Topics(bundle.manifest.deployment).model
        self._broker = broker
        self._output = state.with_suffix(".out")
        self._command = python(
            "hiertk_cloud", "serve", "--bundle", str(bundle.folder), "--broker", broker.url,
            "--state", str(state), "--replay", "0", "--api", "", "--json",
        )  # fmt: skip
        self._statuses: queue.Queue[ModelStatus] = queue.Queue()
        self.ready_s = 0.0

    @property
    def resident_bytes(self) -> int:
        """Resident memory now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("VmRSS:")]
        return 1024 * int(line.split()[1])

    @property
    def processor_s(self) -> float:
        """Seconds of a processor that it has taken so far."""
        return processor_s(self._process.pid)

    def __enter__(self) -> "ServiceProcess":  # noqa: PYI034
        watcher = self._watch()
        try:
            with self._output.open("wb") as output:
                started = time.monotonic()
                self._process = subprocess.Popen(
                    self._command, stdout=output, stderr=output, env=environment()
                )
            while self._statuses.get(timeout=_PATIENCE_S).state != ModelStatus.ONLINE:
                pass
            self.ready_s = time.monotonic() - started
        finally:
            watcher.disconnect()
            watcher.loop_stop()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        end_process(self._process, _STOP_TIMEOUT_S)

    def _watch(self) -> paho.Client:
        ready: queue.Queue[bool] = queue.Queue()
        client = paho.Client(CallbackAPIVersion.VERSION2, "watcher", protocol=paho.MQTTv5)
        client.on_subscribe = lambda *_: ready.put(item=True)
        client.on_message = self._on_message
        address = parse_broker(self._broker.url)
        client.connect(address.host, address.port)
        # Not what an earlier run has left there.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        client.subscribe(self._topic, options=options)
        client.loop_start()
        ready.get(timeout=_PATIENCE_S)
        return client

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._statuses.put(parse_model_status(bytes(message.payload)))
