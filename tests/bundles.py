"""Really exported bundles for tests."""

from pathlib import Path
from typing import Any

from hiertk_protocol.bundle import Bundle


def export_fashion(folder: Path, **settings: Any) -> Bundle:
    """Export a bundle for Fashion-MNIST's classes."""
    from hiertk.data import load  # imports torch, which most tests do without
    from hiertk.export import ExportSettings, export_bundle

    classes = load("fashion-mnist-mini", "test").classes
    fixed: dict[str, Any] = {"target": "linux", "classes": classes, "out": folder}
    return export_bundle(ExportSettings(**(fixed | settings))).bundle
