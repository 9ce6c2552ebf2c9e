"""The slow link carries what it says, at its rate, with root and without."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hiertk import slow_link as module
from hiertk.slow_link import has_namespaces, slow_link

SEND = """
import sys
import paho.mqtt.client as paho
from hiertk_protocol.mqtt import parse_broker
address = parse_broker(sys.argv[1])
client = paho.Client(paho.CallbackAPIVersion.VERSION2)
client.connect(address.host, address.port)
client.loop_start()
client.publish("topic", bytes(int(sys.argv[2])), qos=1).wait_for_publish(30)
"""


@pytest.mark.parametrize("kind", ["namespaces", "proxy"])
def test_bytes_are_counted_and_the_rate_is_kept(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "proxy":
        monkeypatch.setattr(module, "has_namespaces", lambda: False)
    elif os.geteuid() or not has_namespaces():
        pytest.skip("network namespaces need root")
    with slow_link(tmp_path / "link", 4e6) as link:
        assert link.kind == kind
        before, began = link.carried(), time.monotonic()
        command = [*link.device_prefix, sys.executable, "-c", SEND, link.device_broker, "250000"]
        subprocess.run(command, check=True)
        seconds, after = time.monotonic() - began, link.carried()
    assert 250_000 < after.up - before.up < 290_000
    assert 0 < after.down - before.down < 20_000
    assert seconds > 250_000 * 8 / 4e6 * 0.9
