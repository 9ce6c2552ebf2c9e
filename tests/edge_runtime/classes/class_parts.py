"""What the tests of the device's classes share: class maps, and a device's table on the disk."""

from collections.abc import Mapping
from pathlib import Path

from edge_parts import CLASSES, make_manifest
from hiertk_edge.classes import DeviceClasses
from hiertk_protocol.class_map import ClassAlias, ClassMap, ClassSlot
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import ClassInfo, Manifest

CAPACITY = 8


def manifest_with(capacity: int = CAPACITY) -> Manifest:
    classes = ClassInfo(names=CLASSES, capacity=capacity)
    return make_manifest().model_copy(update={"classes": classes})


MANIFEST = manifest_with()


def class_map(
    version: int,
    classes: Mapping[int, tuple[str, int]],
    aliases: Mapping[int, tuple[ClassAlias, ...]] | None = None,
) -> ClassMap:
    """Return a map of (name, since) by slot."""
    merged = aliases or {}
    return ClassMap(
        version,
        tuple(
            ClassSlot(slot, name, since, merged.get(slot, ()))
            for slot, (name, since) in sorted(classes.items())
        ),
    )


EXPORTED = {slot: (name, 1) for slot, name in enumerate(CLASSES)}


class Told(Problems):
    """Problems, and every line that they told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        super().__init__(lambda _kind, text: self.told.append(text))


def classes_in(
    folder: Path, *, manifest: Manifest = MANIFEST, problems: Problems | None = None
) -> DeviceClasses:
    return DeviceClasses(folder / "classes.json", manifest, problems or Told())
