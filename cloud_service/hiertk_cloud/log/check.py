"""Looking through the whole log for damage, in the background and slowly."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hiertk_cloud.log.file import connect, reporting
from hiertk_cloud.log.records import is_whole

_BYTES_PER_S = 32 << 20
_SLEEP_AT_MOST_S = 0.2


@dataclass(frozen=True)
class LogCheck:
    """What was found. damaged: messages that are not as they came; checked: all that were read."""

    checked: int
    damaged: int


def check_messages(path: Path, stop_asked: Callable[[], bool]) -> LogCheck:
    """Read every message and compare its checksum, at some 32 MiB/s.

    Raises LogDamagedError if the file itself is damaged, StorageError.
    """
    checked = damaged = position = 0
    with closing(connect(path)) as database:
        while not stop_asked():
            with reporting(path):
                rows = database.execute(
                    "SELECT position, size, checksum, message FROM batches LEFT JOIN messages "
                    "USING (position) WHERE position > ? AND size > 0 ORDER BY position LIMIT 1",
                    (position,),
                ).fetchall()
            if not rows:
                break
            position, size, wanted, message = rows[0]
            checked += 1
            damaged += not is_whole(message, wanted)
            time.sleep(min(_SLEEP_AT_MOST_S, size / _BYTES_PER_S))
    return LogCheck(checked, damaged)
