"""Configurations of devices for tests."""

from pathlib import Path
from typing import Any

from edge_parts import DEVICE
from hiertk_edge.config import EdgeConfig

NO_BROKER = "mqtt://127.0.0.1:9"


def edge_config(bundle: Path, state: Path, **values: Any) -> EdgeConfig:
    """Return a configuration; values: nested as its file is. Without a broker it stays offline."""
    given = {"bundle": bundle, "state": state, "device": DEVICE, "broker": {"url": NO_BROKER}}
    return EdgeConfig.model_validate(given | values)


def changed(config: EdgeConfig, **values: Any) -> EdgeConfig:
    """Return the configuration with some values changed, table by table."""
    return EdgeConfig.model_validate(_laid_over(config.model_dump(), values))


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        name: _laid_over(below[name], value)
        for name, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(name), dict)
    }
    return below | above | both
