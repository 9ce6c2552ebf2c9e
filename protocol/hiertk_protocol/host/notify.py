"""Telling systemd how the service is: ready, at work, stopping. Without systemd nothing happens.

The protocol is sd_notify(3): a line `NAME=value` per datagram to the socket in $NOTIFY_SOCKET.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Speaks to the systemd that started this process; any thread may call it."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read the environment; what it says of another process, or wrongly, is left aside."""
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment) if self._address else None
        """Seconds within which each watchdog() must follow the last one; None: not watched."""
        self._has_started = False

    def ready(self) -> None:
        """Say that the service has started: what waits for it may start."""
        self._has_started = True
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Say in one line what `systemctl status` shows."""
        self._send(f"STATUS={' '.join(text.split())}")

    def watchdog(self) -> None:
        """Say that the service is at work; systemd restarts one that is silent for too long."""
        if self._has_started or self.watchdog_s is None:
            self._send("WATCHDOG=1")
        else:
            # systemd's watchdog begins when the service is ready. Until then this is its like.
            self._send(f"EXTEND_TIMEOUT_USEC={self.watchdog_s * 1e6:.0f}")

    def stopping(self) -> None:
        """Say that the service is going to end."""
        self._send("STOPPING=1")

    def _send(self, line: str) -> None:
        if self._address is None:
            return
        # A systemd that is restarting itself, or whose queue is full, must not stop the service:
        # the next line may get there, and without any the watchdog says what is wrong.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(0)
            channel.connect(self._address)
            channel.send(line.encode())


def _address(name: str) -> str | None:
    """Return where to send to: a path, or with a leading zero byte an abstract name."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    microseconds = environment.get("WATCHDOG_USEC", "")
    process = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or int(microseconds) == 0 or process != str(os.getpid()):
        return None
    return int(microseconds) / 1e6
