"""What the parts of a device ask of its classes."""

from collections.abc import Iterable
from typing import Protocol

from hiertk_protocol.manifest import ClassInfo

from hiertk_edge.classes.table import ClassInSlot, ClassTable, exported_table


class KnowsClasses(Protocol):
    """Whoever knows the device's classes; any thread may call it."""

    @property
    def table(self) -> ClassTable:
        """The classes now."""

    def adopt(self, known: Iterable[ClassInSlot]) -> None:
        """Open anew, as provisional classes, what a store knows and the table has lost."""


class ExportedClasses:
    """The classes of a bundle, which nothing changes."""

    def __init__(self, classes: ClassInfo) -> None:
        self.table = exported_table(classes)

    def adopt(self, known: Iterable[ClassInSlot]) -> None:
        """Do nothing: no class comes after the export."""
