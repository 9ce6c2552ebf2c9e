"""MQTT brokers on this machine, for the demo, the bench and the tests; loopback only."""

import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType

from hiertk_protocol.errors import TransportError
from typing_extensions import Self

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.02
_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"  # not on every user's PATH

# Both refuse larger messages. HierTK's own are 120 KiB; the bench sends more.
MAX_MESSAGE_BYTES = 16 << 20


class Broker(ABC):
    """A broker in a child process, on a free port that it keeps over restarts.

    folder: holds its settings and its output; is created.
    """

    name: str
    _config_name: str

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address that devices and cloud connect to."""
        return f"mqtt://{_HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """The file with everything that the broker has printed."""
        return self._folder / f"{self.name}.log"

    def start(self) -> None:
        """Start the broker and wait until it accepts connections.

        Raises TransportError, with the last line of its output, if it does not.
        """
        if _accepts(self.port):
            raise TransportError(f"{self.url}: another program listens there: free the port")
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / self._config_name
        config.write_text(self._config())
        with self.log.open("ab") as output:
            # In a session of its own, so that Ctrl-C in the terminal leaves it to its owner.
            self._process = subprocess.Popen(
                self._command(config),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._wait_until_it_accepts(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Let the broker end, if it runs."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._forget()

    def kill(self) -> None:
        """End the broker as a crash would, if it runs."""
        if self._process is None:
            return
        self._process.kill()
        self._forget()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @abstractmethod
    def _config(self) -> str:
        """Return the text of the broker's settings file."""

    @abstractmethod
    def _command(self, config: Path) -> list[str]:
        """Return the command line that runs the broker with these settings."""

    def _wait_until_it_accepts(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            if _accepts(self.port):
                return
            time.sleep(_POLL_S)
        raise TransportError(f"{self.name} does not start: {_last_line(self.log)} (see {self.log})")

    def _forget(self) -> None:
        assert self._process is not None
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None


class MosquittoBroker(Broker):
    """Eclipse Mosquitto, where it is installed."""

    name = "mosquitto"
    _config_name = "mosquitto.conf"

    def __init__(self, folder: Path) -> None:
        """Raises TransportError if Mosquitto is not installed."""
        super().__init__(folder)
        program = find_mosquitto()
        if program is None:
            raise TransportError("mosquitto is not installed: install it, or take another broker")
        self._program = program

    def _config(self) -> str:
        return mosquitto_settings(_HOST, self.port)

    def _command(self, config: Path) -> list[str]:
        return [self._program, "-c", str(config)]


def mosquitto_settings(host: str, port: int) -> str:
    """Return Mosquitto's settings file for one listener."""
    # Queues are bounded but wide: a full one drops silently after its PUBACK.
    return f"""\
listener {port} {host}
allow_anonymous true
persistence false
set_tcp_nodelay true
message_size_limit {MAX_MESSAGE_BYTES}
max_packet_size {MAX_MESSAGE_BYTES + 4096}
max_inflight_messages 100
max_queued_messages 10000
max_queued_bytes {256 << 20}
log_dest stderr
log_type error
log_type warning
"""


class EmbeddedBroker(Broker):
    """rumqttd, which the wheel `iotcore` carries: nothing else has to be installed."""

    name = "embedded"
    _config_name = "embedded.toml"  # rumqttd knows the format by the ending

    def _config(self) -> str:
        # A topic's segments stay in memory until they are full, so they bound what it takes.
        return f"""\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = {2 * MAX_MESSAGE_BYTES}
max_segment_count = 4

[v5.1]
name = "v5"
listen = "{_HOST}:{self.port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {MAX_MESSAGE_BYTES}
max_inflight_count = 500
dynamic_filters = true
"""

    def _command(self, config: Path) -> list[str]:
        return [sys.executable, "-m", "hiertk.embedded_broker", str(config)]


def installed_broker(folder: Path) -> Broker:
    """Return Mosquitto where it is installed, else the embedded broker; not yet started."""
    return EmbeddedBroker(folder) if find_mosquitto() is None else MosquittoBroker(folder)


def find_mosquitto() -> str | None:
    """Return the path of the mosquitto program; None if it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_SYSTEM_FOLDERS)


def free_port() -> int:
    """Return a loopback TCP port that nothing uses now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=1):
            return True
    except OSError:
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
