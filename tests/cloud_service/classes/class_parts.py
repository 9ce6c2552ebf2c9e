"""Registries, and random histories of what may happen to classes."""

from pathlib import Path

from cloud_service.cloud_parts import MANIFEST, SLOTS
from hiertk_cloud.classes.changes import Change, FreeSlots, Kind, changed, free_slots
from hiertk_cloud.classes.devices import KnownDevice
from hiertk_cloud.classes.history import ClassHistory
from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_protocol.class_map import exported_map
from hypothesis import strategies as st

NAMES = ("boot", "bag", "coat", "hat")


def open_registry(folder: Path) -> ClassRegistry:
    return ClassRegistry.open(folder / "classes.sqlite", MANIFEST)


def confirm(registry: ClassRegistry, **versions: int) -> None:
    registry.note(KnownDevice(name, version, 1_000) for name, version in versions.items())


@st.composite
def histories(draw: st.DrawFn) -> tuple[ClassHistory, tuple[Change, ...]]:
    """Up to 12 changes of the small deployment's map, slots given anew among them."""
    history = ClassHistory((exported_map(MANIFEST.classes),))
    changes: tuple[Change, ...] = ()
    for _ in range(draw(st.integers(0, 12))):
        newest = history.newest
        change = _draw_change(draw, history, free_slots(newest, changes, SLOTS, ()))
        if change is not None:
            history = history.followed_by(changed(newest, change, SLOTS))
            changes = (*changes, change)
    return history, changes


def _draw_change(draw: st.DrawFn, history: ClassHistory, free: FreeSlots) -> Change | None:
    newest = history.newest
    version = newest.version + 1
    kind = draw(st.sampled_from(list(Kind)))
    unused = [name for name in NAMES if newest.find(name) is None]
    if kind is Kind.NAME:
        if not unused or not free.ready:
            return None
        return Change(version, kind, draw(st.sampled_from(free.ready)), unused[0])
    if len(newest.slots) < 2:
        return None
    one, other = draw(st.permutations(newest.slots))[:2]
    return Change(version, kind, one.slot, one.name, other.slot if kind is Kind.MERGE else None)
