"""What the service says on standard output: lines for people, or JSON for machines."""

import json
import math
import sys
import threading
import time

Field = str | int | float | None


class Reporter:
    """Prints one line per event; any thread may call it."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()

    def say(self, event: str, text: str, **fields: Field) -> None:
        """Print an event: its text for people, its name and fields for machines."""
        if self._as_json:
            line = json.dumps(
                {"time": round(time.time(), 3), "event": event, "text": text}
                | {name: _finite(value) for name, value in fields.items()}
            )
        else:
            line = f"{time.strftime('%H:%M:%S')} {text}"
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def _finite(value: Field) -> Field:
    """Replace what JSON cannot say, such as an accuracy not measured yet."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
