"""Really exported bundles for tests; those that many tests read are exported once."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hiertk_protocol.bundle import Bundle, open_bundle


def export_fashion(folder: Path, **settings: Any) -> Bundle:
    """Export a bundle for Fashion-MNIST's classes."""
    from hiertk.data import load  # imports torch, which most tests do without
    from hiertk.export import ExportSettings, export_bundle

    classes = load("fashion-mnist-mini", "test").classes
    fixed: dict[str, Any] = {"target": "linux", "classes": classes, "out": folder}
    return export_bundle(ExportSettings(**(fixed | settings))).bundle


def exported_once(
    factory: pytest.TempPathFactory, name: str, export: Callable[[Path], object]
) -> Bundle:
    """Export a bundle once for all processes that share the tests; not to be changed.

    `export` is called with the folder to write, by the first that wants it; the others wait.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own in it
    shared = base / "exported-once"
    shared.mkdir(exist_ok=True)
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if not (shared / name).exists():  # an export appears as a whole
            export(shared / name)
    return open_bundle(shared / name)
