"""`hiertk-edge status`: how a device is doing."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiertk_edge.commands.options import Debug, Json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hiertk_edge.status.file import Status
    from hiertk_edge.status.stored_state import StoredState

_EVERY_S = 2.0
_RUNTIME = Path("/run/hiertk-edge")
_STATES = Path("/var/lib/hiertk-edge")


def status(
    *,
    state: Annotated[
        Path | None, typer.Option(help="The state folder of `hiertk-edge run`.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="The device of a service. Default: the only one of this machine."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 2 seconds, until Ctrl-C.")
    ] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Show how a device is doing: steps, exits, images, classes, spool, link, problems, machine.

    A provisional class has no slot of the cloud yet. What the early exit knows of a class is told
    of the images that were held out; the final exit is the cloud's, while it is online.

    Of one that does not run, what its state folder tells: since when, the checkpoint, the spool.
    It changes nothing, and asks neither the device nor the network.

    Example: sudo hiertk-edge status --device pi-1
    """
    places = _places(state, device)
    if not watch:
        _print(_look(places), as_json=json_)
        return
    if json_:
        while True:
            _print(_look(places), as_json=True)
            time.sleep(_EVERY_S)
    from rich.live import Live

    with Live(_shown(_look(places)), auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY_S)
            live.update(_shown(_look(places)), refresh=True)


@dataclass(frozen=True)
class _Places:
    """Where a device's status may be, and its state."""

    files: tuple[Path, ...]
    state: Path


@dataclass(frozen=True)
class _Found:
    """What is known of a device; `stored` only where it does not run."""

    status: "Status | None"
    stored: "StoredState | None"


def _places(state: Path | None, device: str | None) -> _Places:
    from hiertk_protocol.errors import ConfigError
    from hiertk_protocol.topics import check_device_name

    from hiertk_edge.status.file import NAME

    if state is not None and device is not None:
        raise ConfigError("--state and --device name two places: give one of them")
    if state is not None:
        return _Places((state / NAME,), state)
    name = check_device_name(device) if device else _only_device()
    return _Places((_RUNTIME / name / NAME, _STATES / name / NAME), _STATES / name)


def _only_device() -> str:
    from hiertk_protocol.errors import ConfigError

    names = sorted(path.name for path in _STATES.iterdir()) if _STATES.is_dir() else []
    if len(names) != 1:
        here = f"{_STATES} has {', '.join(names) or 'none'}"
        raise ConfigError(f"which device? {here}: say --device NAME, or --state DIR")
    return names[0]


def _look(places: _Places) -> _Found:
    from hiertk_protocol.errors import ConfigError

    from hiertk_edge.status.file import read_status
    from hiertk_edge.status.stored_state import read_state

    written = (read_status(file) for file in places.files)
    found = next((one for one in written if one is not None), None)
    if found is not None and found.writer.is_there:
        return _Found(found, None)
    stored = read_state(places.state)
    if stored is None:
        raise ConfigError(f"{places.state}: no such state folder: no device ever ran with it")
    return _Found(found, stored)


def _print(found: _Found, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(found)), flush=True)
        return
    from rich.console import Console

    Console().print(_shown(found))


def _shown(found: _Found) -> "RenderableType":
    from hiertk_edge.status.table import running_table, stopped_table

    if found.stored is not None:
        return stopped_table(found.status, found.stored)
    assert found.status is not None, "it runs"
    return running_table(found.status)


def _as_json(found: _Found) -> dict[str, Any]:
    writer = found.status.writer if found.status else None
    return {
        "running": found.stored is None,
        "silent": writer.is_silent if writer else False,
        "age_s": writer.age_s if writer else None,
        "status": found.status.model_dump() if found.status else None,
        "stored": asdict(found.stored) if found.stored else None,
    }
