"""What `hiertk-cloud classes` says: tables for people, JSON for programs."""

import json
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.table import Table

from hiertk_cloud.classes.registry import ClassRegistry


def print_classes(registry: ClassRegistry, *, as_json: bool) -> None:
    """Print the class map, and which version of it each device has in place."""
    if as_json:
        print(json.dumps(_all(registry)))
        return
    newest = registry.history.newest
    table = Table("slot", "class", "since", "aliases")
    for one in newest.slots:
        aliases = ", ".join(alias.name for alias in one.aliases)
        table.add_row(str(one.slot), one.name, str(one.since), aliases)
    _console().print(table)
    print(_summary(registry))
    if registry.devices:
        devices = Table("device", "class map", "last seen")
        for device in registry.devices:
            version = str(device.version) if device.version else "not confirmed"
            devices.add_row(device.name, version, f"{_time(device.seen):%Y-%m-%d %H:%M} UTC")
        _console().print(devices)


def print_change(registry: ClassRegistry, text: str, *, as_json: bool) -> None:
    """Print what was done, and how the classes stand."""
    if as_json:
        print(json.dumps({"done": text, **_all(registry)}))
        return
    print(text)
    print(_summary(registry))


def _summary(registry: ClassRegistry) -> str:
    newest, free = registry.history.newest, registry.free
    behind = [device.name for device in registry.devices if device.version < newest.version]
    parts = [
        f"class map {newest.version}",
        f"{len(newest.slots)} of {registry.capacity} slots have a class",
    ]
    if free.waiting:
        parts.append(f"{len(free.waiting)} wait until every device has confirmed")
    if behind:
        more = f" and {len(behind) - 3} more" if len(behind) > 3 else ""
        parts.append(f"not confirmed yet by {', '.join(behind[:3])}{more}")
    return "; ".join(parts) + "."


def _all(registry: ClassRegistry) -> dict[str, Any]:
    newest, free = registry.history.newest, registry.free
    return {
        "version": newest.version,
        "capacity": registry.capacity,
        "classes": [
            {
                "slot": one.slot,
                "name": one.name,
                "since": one.since,
                "aliases": [alias.name for alias in one.aliases],
            }
            for one in newest.slots
        ],
        "free": list(free.ready),
        "waiting": list(free.waiting),
        "devices": [
            {
                "name": device.name,
                "class_map_version": device.version or None,
                "last_seen": _time(device.seen).isoformat(),
            }
            for device in registry.devices
        ],
    }


def _time(seen: int) -> datetime:
    return datetime.fromtimestamp(seen, timezone.utc)


def _console() -> Console:
    return Console(markup=False, emoji=False, highlight=False)  # names are shown as they are
