"""Mosquitto with the very files that `hiertk-cloud provision` writes, and clients over TLS."""

import queue
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from hiertk.brokers import find_mosquitto, free_port
from hiertk_cloud.provisioning.authority import open_authority
from hiertk_cloud.provisioning.devices import BrokerPlace, provision, refresh, revoke
from hiertk_cloud.provisioning.registry import Kind
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.host.secret_files import read_secret
from hiertk_protocol.mqtt import Handlers, MqttLink, Will, parse_broker
from mqtt_client import PATIENCE_S, PlainClient, wait_until
from paho.mqtt.reasoncodes import ReasonCode
from typing_extensions import Self

HOST = "127.0.0.1"


class SecuredBroker:
    """One authority and its broker. port: of devices with a certificate; password and service next.

    folder: must be open to the user that Mosquitto becomes where root starts it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = three_free_ports()
        self._process: subprocess.Popen[bytes] | None = None
        with open_authority(folder / "authority") as authority:
            _, change = refresh(authority, BrokerPlace((HOST,), self.port))
        self._settings = change.settings

    @property
    def url(self) -> str:
        return f"mqtts://{HOST}:{self.port}"

    @property
    def password_url(self) -> str:
        return f"mqtts://{HOST}:{self.port + 1}"

    @property
    def service_url(self) -> str:
        return f"mqtts://{HOST}:{self.port + 2}"

    @property
    def service(self) -> Credentials:
        folder = self.folder / "credentials"
        return Credentials(
            ca=folder / "ca.pem",
            certificate=folder / "hiertk-cloud.pem",
            key=folder / "hiertk-cloud.key",
        )

    def provision(
        self,
        name: str,
        *,
        kind: Kind = "certificate",
        deployment: str | None = None,
        days: int = 10,
        out: Path | None = None,
    ) -> Credentials:
        out = out or self.folder / name
        with open_authority(self.folder / "authority") as authority:
            registry, _ = refresh(authority, BrokerPlace())
            provision(
                authority, registry, name, kind=kind, deployment=deployment, days=days, out=out
            )
        if kind == "certificate":
            return Credentials(out / "ca.pem", out / "device.pem", out / "device.key")
        return Credentials(ca=out / "ca.pem", username=name, password=read_secret(out / "password"))

    def revoke(self, name: str) -> None:
        with open_authority(self.folder / "authority") as authority:
            registry = authority.registry()
            assert registry is not None
            revoke(authority, registry, name)

    def reload(self) -> None:
        """Send the SIGHUP of `systemctl reload mosquitto`; it is served within a moment."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def __enter__(self) -> Self:
        program = find_mosquitto()
        if program is None:
            pytest.skip("mosquitto is not installed")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", self._settings], stdout=log, stderr=log
            )
        wait_until(lambda: listens(self.port + 2))
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE_S)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that Mosquitto may pass; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


def three_free_ports() -> int:
    """Return the first of three ports in a row that nothing uses now."""
    while True:
        first = free_port()
        try:
            with ExitStack() as stack:
                for port in range(first, first + 3):
                    stack.enter_context(socket.create_server((HOST, port)))
        except (OSError, OverflowError):
            continue
        return first


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


class TlsClient(PlainClient):
    """A client that says what it likes, to see what the broker makes of it."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *topics: str,
        will: tuple[str, bytes] | None = None,
        client_id: str | None = None,
    ) -> None:
        super().__init__(url, *topics, will=will)
        if client_id is not None:
            self.paho._client_id = client_id.encode()
        self.paho.tls_set_context(credentials.tls_context())
        if credentials.username is not None:
            self.paho.username_pw_set(credentials.username, credentials.password)
        self._answers: queue.Queue[str] = queue.Queue()
        self.paho.on_publish = self._on_publish

    def try_to_publish(self, topic: str, payload: bytes, *, retain: bool = False) -> str:
        """Publish at QoS 1 and return what the broker answers."""
        self.paho.publish(topic, payload, qos=1, retain=retain)
        return self._answers.get(timeout=PATIENCE_S)

    def received_nothing(self) -> bool:
        return self._received.empty()

    def _on_publish(
        self, _client: Any, _data: Any, _mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._answers.put(str(code))


def why_refused(url: str, credentials: Credentials) -> str:
    """Connect as devices and service do, and return the reason that the owner is told."""
    reasons: queue.Queue[str] = queue.Queue()
    link = MqttLink(
        parse_broker(url),
        client_id="refused",
        subscriptions=("unused",),
        will=Will("unused", b"unused"),
        handlers=Handlers(
            message=lambda _incoming: None,
            up=lambda: reasons.put("it is up"),
            down=reasons.put,
        ),
        max_message_bytes=1000,
        credentials=credentials,
    )
    link.start()
    try:
        return reasons.get(timeout=PATIENCE_S)
    finally:
        link.stop()
