"""Ingest: what comes from the broker is checked, committed to the log, and then acknowledged.

The link's thread only fills a bounded queue for each device; a writer thread empties them in
groups. Whatever is lost on the way is not acknowledged, and the device sends it again.
"""

import math
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import Ack, Refusal
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.topics import Topics

from hiertk_cloud.classes.classes import Classes
from hiertk_cloud.ingest.judge import Judge
from hiertk_cloud.ingest.limits import Limits
from hiertk_cloud.ingest.waiting import Message, WaitingMessages
from hiertk_cloud.log import Accepted, DiskFullError, DurableLog, Refused, Settled
from hiertk_cloud.settings import ServiceSettings

_GROUP_MESSAGES = 256
_GROUP_BYTES = 8 << 20
_POLL_S = 0.2
_LOOK_AT_THE_DISK_EVERY_S = 1.0
_NEWEST_ACKS = 200

Publish = Callable[[str, bytes], object]
Tell = Callable[[str, str], None]


class Ingest:
    """Takes messages in any thread, and commits them in the thread that calls `turn`."""

    def __init__(
        self,
        log: DurableLog,
        manifest: Manifest,
        *,
        publish: Publish,
        tell: Tell,
        problems: Problems | None = None,
        limits: Limits | None = None,
        room: "Room | None" = None,
        classes: Classes | None = None,
        heard: Callable[[str], None] = lambda _device: None,
    ) -> None:
        """Prepare.

        classes: what labels mean; default, the exported ones alone. heard: gets the device of each
        usable message.
        """
        self._log = log
        self._judge = Judge(manifest, classes, self._note_name_refused)
        self._heard = heard
        self._topics = Topics(manifest.deployment)
        self._publish = publish
        self._tell = tell
        self._problems = problems or Problems(tell)
        self._limits = limits or Limits()
        self._room = room
        self._waiting = WaitingMessages(
            self._limits,
            device_of=self._topics.device_of,
            on_overflow=lambda device: self._drop(device, "too-many", _too_many(device)),
        )
        self._lock = threading.Lock()
        self._dropped: Counter[str] = Counter()  # by device; "" for those of none
        self._seen: dict[str, float] = {}
        self._waits_ms: deque[float] = deque(maxlen=_NEWEST_ACKS)
        self.acks_total = 0
        self.names_refused_total = 0  # new classes of stored messages that got no slot
        self.arrived = threading.Event()

    @property
    def dropped(self) -> Counter[str]:
        """Messages of each device that got no answer: unusable, or above a limit."""
        with self._lock:
            return self._dropped.copy()

    @property
    def dropped_total(self) -> int:
        """Messages that got no answer: unreadable, forged, too large, too many."""
        return self.dropped.total() + self._log.totals.ignored

    @property
    def ack_wait_ms(self) -> float:
        """The median time from a message's arrival to its ack, of the newest; NaN before one."""
        waits = list(self._waits_ms)
        return median(waits) if waits else math.nan

    def seen(self, device: str) -> float | None:
        """Return when the newest usable message of a device was taken, seconds since 1970."""
        return self._seen.get(device)

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker; never blocks."""
        if len(payload) > self._limits.payload_bytes:
            device = self._topics.device_of(topic) or ""
            self._drop(device, "too-large", f"{len(payload)} bytes on {topic[:200]!r}")
        elif not self._waiting.put(topic, payload):
            device = self._topics.device_of(topic) or ""
            self._drop(device, "too-many", _too_many(device))

    def turn(self) -> None:
        """Commit and acknowledge what has come. Raises StorageError.

        There is no wait for a group to fill: while one is committed, the next one gathers.
        """
        group = self._waiting.take(count=_GROUP_MESSAGES, max_bytes=_GROUP_BYTES, wait_s=_POLL_S)
        try:
            arrivals = [arrival for message in group if (arrival := self._arrival(message))]
            if not arrivals:
                return
            lack = self._room.lack(self._log.totals.waiting_bytes) if self._room else ""
            if lack:
                self._stop_acknowledging(lack)
                return
            settled = self._log.append(arrivals)
        except DiskFullError as error:
            self._stop_acknowledging(str(error))
            return
        self._problems.end("disk", "there is room again: batches are stored and acknowledged")
        self.arrived.set()
        for stream in settled:
            self._publish(self._topics.ack(stream.device), _ack(stream).SerializeToString())
        self._note_acks([message.arrived for message in group], len(settled))

    def _arrival(self, message: Message) -> Accepted | Refused | None:
        try:
            arrival = self._judge.judge(message.device, message.payload)
        except ProtocolError as error:
            self._drop(message.device, "unusable", f"{error} (on {message.topic[:200]!r})")
            return None
        self._seen[arrival.key.device] = time.time()
        self._heard(arrival.key.device)
        if isinstance(arrival, Refused):
            self._tell("refused", f"{arrival.key.device}: {arrival.reason}")
            return arrival
        return None if self._has_too_much(arrival) else arrival

    def _note_name_refused(self, device: str, reason: str) -> None:
        self.names_refused_total += 1
        self._tell("refused-class", f"{device}: {reason}")

    def _has_too_much(self, arrival: Accepted) -> bool:
        """Leave a device that fills the log without an answer until the trainer has caught up."""
        device, most = arrival.key.device, self._limits.log_bytes
        held = self._log.devices.get(device)
        if most is None or held is None or held.waiting_bytes + len(arrival.message) <= most:
            return False
        self._drop(device, "log-share", f"{device}: {most} bytes of it wait, its share of the log")
        return True

    def _stop_acknowledging(self, why: str) -> None:
        self._problems.begin("disk", f"nothing is stored or acknowledged, training goes on: {why}")
        time.sleep(_POLL_S)

    def _note_acks(self, arrived: Sequence[float], acks: int) -> None:
        now = time.monotonic()
        self._waits_ms.extend(1000 * (now - came) for came in arrived)
        self.acks_total += acks

    def _drop(self, device: str, kind: str, text: str) -> None:
        with self._lock:
            self._dropped[device] += 1
        self._tell(kind, text)


class Room:
    """Whether there is room for more batches: on the disk (looked at once a second), in the log."""

    def __init__(self, folder: Path, *, reserve_bytes: int, max_waiting_bytes: int | None) -> None:
        """Watch a folder's disk.

        reserve_bytes: what must stay free, for checkpoints. max_waiting_bytes: of all batches that
        are not consumed yet; None is no limit.
        """
        self._folder = folder
        self._reserve = reserve_bytes
        self._max_waiting = max_waiting_bytes
        self._due = 0.0
        self._lack = ""

    @classmethod
    def of(cls, folder: Path, settings: ServiceSettings) -> "Room":
        """Watch a folder's disk and log as the settings say."""
        return cls(
            folder,
            reserve_bytes=settings.reserve_bytes,
            max_waiting_bytes=settings.retention.max_bytes,
        )

    def lack(self, waiting_bytes: int) -> str:
        """Return what is lacking, empty if nothing is."""
        if self._max_waiting is not None and waiting_bytes >= self._max_waiting:
            return f"{waiting_bytes} bytes of batches wait to be consumed, which fills the log"
        return self._lack_of_disk()

    def _lack_of_disk(self) -> str:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _LOOK_AT_THE_DISK_EVERY_S
            free = shutil.disk_usage(self._folder).free
            self._lack = (
                ""
                if free >= self._reserve
                else f"the disk of {self._folder} has {free >> 20} MiB left, "
                f"less than the {self._reserve >> 20} in reserve: make room"
            )
        return self._lack


def _too_many(device: str) -> str:
    return f"{device or 'somebody'} sends more than is taken: it will be sent again"


def _ack(settled: Settled) -> Ack:
    return Ack(
        epoch=settled.epoch,
        through=settled.through,
        beyond=settled.beyond,
        refused=[Refusal(seq=seq, reason=reason) for seq, reason in settled.refused],
    )
