"""Counting what is left out, and saying so without flooding the log."""

import logging

_LOGGED = 20


class Skipped:
    """How many things were left out; the first ones are logged."""

    def __init__(self, what: str, log: logging.Logger) -> None:
        """Begin at none. what: the things, in the plural."""
        self.count = 0
        self._what = what
        self._log = log

    def note(self, reason: object) -> None:
        """Count one more."""
        self.count += 1
        if self.count <= _LOGGED:
            self._log.warning("skipped: %s", reason)
        if self.count == _LOGGED:
            self._log.warning("further %s are only counted", self._what)
