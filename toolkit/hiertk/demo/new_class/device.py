"""The demo's device as the program beside it sees it: through its HTTP endpoint alone."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hiertk_protocol.errors import TransportError

_ADDRESS = re.compile(r"the endpoint is at http://(\S+)")
_START_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 30.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Answered:
    """What both exits say an image shows. final: None where the cloud did not answer."""

    early: str
    final: str | None


@dataclass(frozen=True)
class DeviceEndpoint:
    """Names classes, shows labelled images, and asks for predictions. address: HOST:PORT."""

    address: str
    token: str

    def name(self, name: str) -> None:
        """Open a new class. Raises TransportError."""
        self._post("/classes", json.dumps({"name": name}).encode())

    def show(self, image: bytes, label: str) -> None:
        """Give an image file to train on. Raises TransportError."""
        self._post(f"/images?label={quote(label, safe='')}", image)

    def ask(self, image: bytes) -> Answered:
        """Return the answers for an image file. Raises TransportError."""
        answer = self._post("/predictions?top=1", image)
        is_final = answer["by"] == "final exit"
        return Answered(answer["early"]["class"], answer["class"] if is_final else None)

    def _post(self, path: str, body: bytes) -> dict[str, Any]:
        while True:
            answer = self._send(path, body)
            if answer.retry_after_s is None:
                break
            time.sleep(answer.retry_after_s)
        if not 200 <= answer.status < 300:
            raise TransportError(f"the device answers {path}: {answer.content}")
        return answer.content

    def _send(self, path: str, body: bytes) -> "_Answer":
        headers = {"Authorization": f"Bearer {self.token}"}
        connection = HTTPConnection(self.address, timeout=_ANSWER_TIMEOUT_S)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = json.loads(response.read())
            retry = response.getheader("Retry-After")
        except (HTTPException, OSError, ValueError) as error:
            raise TransportError(f"the device does not answer {path}: {error}") from error
        finally:
            connection.close()
        return _Answer(response.status, content, None if retry is None else float(retry))


@dataclass(frozen=True)
class _Answer:
    """An answer of the endpoint. retry_after_s: when it has room again."""

    status: int
    content: dict[str, Any]
    retry_after_s: float | None


def wait_for_endpoint(log: Path, state: Path, is_done: Callable[[], bool]) -> DeviceEndpoint:
    """Return the endpoint that a starting device tells of in its log. Raises TransportError."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        found = _ADDRESS.search(log.read_text(errors="replace"))
        if found:
            return DeviceEndpoint(found[1], (state / "endpoint-token").read_text().strip())
        if is_done() or time.monotonic() > deadline:
            raise TransportError(f"the device's endpoint is not there: see {log}")
        time.sleep(_LOOK_EVERY_S)
