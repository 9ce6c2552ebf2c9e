"""Classes on the link: class maps are handed on, and slots are asked for by name.

A reply changes nothing here: the slot that it gives is in the class map that comes with it, and
only a map is put in place. So a lost reply is harmless, and a class is asked for until a map has
it.
"""

import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from hiertk_protocol.class_requests import ClassContract
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.mqtt import Incoming, Request
from hiertk_protocol.prediction_messages import CloudRefusedError

_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 60.0
_REFUSED_WAIT_S = 60.0
_LONGEST_REFUSED_WAIT_S = 3600.0
_EXPIRES_S = 60

Publish = Callable[[bytes, Request], bool]


@dataclass(frozen=True)
class ClassLink:
    """What the uplink needs of the device's classes; any thread may call both.

    provisional: the names that want a slot. hand: takes a class map as it came.
    """

    contract: ClassContract
    provisional: Callable[[], tuple[str, ...]]
    hand: Callable[[bytes], None]


@dataclass
class _Asked:
    """A name that was asked for, and when it may be asked for again."""

    correlation: bytes
    wait_s: float
    due: float


class ClassAsking:
    """Asks for the slots of provisional classes; for the uplink's thread only."""

    def __init__(
        self, link: ClassLink, reply_to: str, publish: Publish, problems: Problems
    ) -> None:
        """Begin with nothing asked. publish: returns whether the link took the request."""
        self._link = link
        self._reply_to = reply_to
        self._publish = publish
        self._problems = problems
        self._asked: dict[str, _Asked] = {}

    @property
    def due(self) -> float:
        """When the next request may go, by the monotonic clock; infinity: there is none."""
        names = self._link.provisional()
        dues = (self._asked[name].due if name in self._asked else 0.0 for name in names)
        return min(dues, default=math.inf)

    def start_over(self) -> None:
        """Ask at once: the cloud came, or is another one."""
        for one in self._asked.values():
            one.wait_s, one.due = _FIRST_WAIT_S, 0.0

    def ask_if_due(self) -> None:
        """Ask for what has no slot yet, and forget what has one."""
        names = self._link.provisional()
        for name in self._asked.keys() - set(names):
            del self._asked[name]
            self._problems.end(_problem(name), f"class {name!r} has its slot")
        for name in names:
            asked = self._asked.setdefault(name, _Asked(b"", _FIRST_WAIT_S, 0.0))
            if time.monotonic() >= asked.due:
                self._ask(name, asked)

    def take(self, incoming: Incoming) -> None:
        """Take a reply; one that was not asked for is ignored.

        Raises ProtocolError if it breaks the contract.
        """
        found = next(
            (name for name, one in self._asked.items() if one.correlation == incoming.correlation),
            None,
        )
        if found is None or not incoming.correlation:
            return
        try:
            self._link.contract.read_reply(incoming.payload)
        except CloudRefusedError as error:
            self._refuse(found, error)
        else:
            self._problems.end(_problem(found), f"class {found!r} has its slot")

    def _ask(self, name: str, asked: _Asked) -> None:
        asked.due = time.monotonic() + asked.wait_s
        asked.wait_s = max(asked.wait_s, min(2 * asked.wait_s, _LONGEST_WAIT_S))
        asked.correlation = secrets.token_bytes(8)
        request = Request(asked.correlation, self._reply_to, _EXPIRES_S)
        self._publish(self._link.contract.request(name), request)

    def _refuse(self, name: str, error: CloudRefusedError) -> None:
        asked = self._asked[name]
        asked.wait_s = min(max(2 * asked.wait_s, _REFUSED_WAIT_S), _LONGEST_REFUSED_WAIT_S)
        asked.due = time.monotonic() + asked.wait_s
        self._problems.begin(
            _problem(name),
            f"the cloud gives class {name[:80]!r} no slot: {error}: the device trains it under a "
            "slot of its own, and asks again",
        )


def _problem(name: str) -> str:
    return f"slot of class {name}"
