"""What the registry knows of the classes, as the service shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hiertk_protocol.class_map import ClassMap


@dataclass(frozen=True)
class ClassState:
    """The classes at one moment.

    newest: the class map that stands. confirmed: by device, the newest version that it has put in
    place, 0 before the first. trained: samples that the cloud trained on, by slot of that map;
    None where nobody counts. All counts are since the service started. waiting_slots: those of
    classes that are gone, which are free once every device has confirmed that.
    """

    newest: ClassMap
    confirmed: Mapping[str, int] = field(default_factory=dict)
    trained: Mapping[int, int] | None = None
    requests_answered: int = 0
    requests_refused: int = 0
    waiting_slots: int = 0

    @property
    def unconfirmed(self) -> list[str]:
        """The devices that have not put the newest version in place, by name."""
        newest = self.newest.version
        return sorted(name for name, version in self.confirmed.items() if version < newest)

    def confirmed_by(self, version: int) -> int:
        """Return how many devices have put that version or a later one in place."""
        return sum(found >= version for found in self.confirmed.values())
