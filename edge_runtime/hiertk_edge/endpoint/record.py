"""What the endpoint is told, what it counts, and what it asks of a camera."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hiertk_protocol.errors import HiertkError

from hiertk_edge.classes.table import ClassTable
from hiertk_edge.images import Pixels


@dataclass(frozen=True)
class EndpointSettings:
    """Where to listen, and where the token lies; port 0 is any free one."""

    token_file: Path
    host: str = "127.0.0.1"
    port: int = 8765


@dataclass(frozen=True)
class EndpointCounts:
    """What became of the requests since the endpoint was made.

    taken: labelled images that the intake stored, corrections among them. bad: bodies that are no
    image. mislabelled: of no class. refused: labelled images that the intake had no room for; who
    posted them was told so. corrections: predictions that the user gave the label of. right: those
    of them that said that label already.
    """

    taken: int = 0
    bad: int = 0
    mislabelled: int = 0
    refused: int = 0
    predictions: int = 0
    corrections: int = 0
    right: int = 0

    @property
    def right_share(self) -> float | None:
        """Share of the corrected predictions that were right; None without any."""
        return self.right / self.corrections if self.corrections else None


class Frame(Protocol):
    """A camera's image."""

    @property
    def pixels(self) -> Pixels:
        """(size, size, 3) uint8, RGB."""

    @property
    def age_s(self) -> float:
        """Seconds since it was taken."""


class Camera(Protocol):
    """A camera that holds its newest frame; any thread may call it."""

    def newest(self) -> Frame | None:
        """Return the newest frame; None before the first."""

    def teach(self, label: str, frames: int) -> int:
        """Give the next frames to the intake as this class; return how many it will."""


class NamedClasses(Protocol):
    """The device's classes; any thread may call it."""

    @property
    def table(self) -> ClassTable:
        """The classes now."""

    def name_new(self, name: str) -> int:
        """Return a class's slot, opened if it is new.

        Raises ProtocolError for an unusable name, ConfigError if there is no room, StorageError.
        """


class RefusedError(HiertkError):
    """Why a request is refused. status: the HTTP status that says so."""

    def __init__(self, status: int, text: str, *, retry_after_s: int | None = None) -> None:
        """Begin with the one line that the client reads."""
        super().__init__(text)
        self.status = status
        self.retry_after_s = retry_after_s
