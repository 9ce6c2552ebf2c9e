"""What ingest and requests need of the classes: a registry, or the exported ones for ever."""

from typing import Protocol

from hiertk_protocol.class_map import exported_map
from hiertk_protocol.class_requests import GivenSlot
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.manifest import ClassInfo

from hiertk_cloud.classes.history import ClassHistory


class Classes(Protocol):
    """The classes of a deployment."""

    @property
    def history(self) -> ClassHistory:
        """All versions of the class map."""

    def request(self, name: str, device: str = "") -> GivenSlot:
        """Return the slot of a name, for a device. Raises ProtocolError if there can be none."""


class ExportedClasses:
    """The classes of the export, where there is no registry to give others a slot."""

    def __init__(self, exported: ClassInfo) -> None:
        self._history = ClassHistory((exported_map(exported),))

    @property
    def history(self) -> ClassHistory:
        """The only version."""
        return self._history

    def request(self, name: str, device: str = "") -> GivenSlot:  # noqa: ARG002
        """Return the slot of an exported class. Raises ProtocolError for every other one."""
        found = self._history.newest.find(name)
        if found is None:
            raise ProtocolError(
                "this service has no registry and keeps the exported classes only: "
                "new ones need a service of one process"
            )
        return GivenSlot(found.slot, found.since)
