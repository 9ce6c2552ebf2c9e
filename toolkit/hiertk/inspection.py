"""A bundle for people, as tables, and for programs, as JSON."""

from typing import Any

from hiertk_protocol.bundle import REHEARSAL, Bundle
from hiertk_protocol.manifest import OptimizerInfo, ParityCheck, Sgd
from rich.console import Console
from rich.table import Table

_NAMES_SHOWN = 12


def print_manifest(bundle: Bundle) -> None:
    """Print what a bundle is."""
    manifest = bundle.manifest
    model, classes, features = manifest.model, manifest.classes, manifest.features
    engine = manifest.engine
    names = ", ".join(classes.names[:_NAMES_SHOWN])
    more = len(classes.names) - _NAMES_SHOWN
    table = Table(title=str(bundle.folder), title_justify="left", show_header=False)
    for name, value in (
        ("deployment", manifest.deployment),
        ("network", f"{model.name}, {model.stem} stem"),
        ("separation point", f"{model.split} of {model.split_count}, after {model.split_module}"),
        ("parameters", f"edge {model.edge_parameters:,}, cloud {model.cloud_parameters:,}"),
        ("input", f"{_by(manifest.input.shape)}, {manifest.input.raw_bytes:,} bytes as 8-bit RGB"),
        (
            "features",
            f"{_by(features.shape)}, {features.bits} bits: {features.packed_bytes:,} bytes packed",
        ),
        ("classes", f"{len(classes.names)} in {classes.capacity} slots"),
        ("class names", f"{names}{f' and {more} more' if more > 0 else ''}"),
        (
            "engine",
            f"{engine.backend} {engine.version} on {manifest.target}, batch {engine.batch_size}",
        ),
        ("optimizer", _optimizer(manifest.optimizer)),
        ("normalization", f"{model.normalization} statistics"),
        ("rehearsal", _rehearsal(bundle)),
        ("size", f"{sum(info.size for info in manifest.files.values()):,} bytes"),
        ("parity", f"{len(manifest.parity)} checks against PyTorch passed"),
    ):
        table.add_row(name, value)
    Console().print(table)


def print_files(bundle: Bundle) -> None:
    """Print the files of a bundle, and how well its step equals PyTorch's."""
    table = Table("file", "bytes", "sha256")
    table.columns[1].justify = "right"
    for name, info in bundle.manifest.files.items():
        table.add_row(name, f"{info.size:,}", info.sha256[:16])
    Console().print(table)
    print_checks(bundle.manifest.parity)


def print_checks(checks: list[ParityCheck] | tuple[ParityCheck, ...]) -> None:
    """Print comparisons with the PyTorch reference."""
    table = Table("against PyTorch", "largest difference", "allowed", "at")
    for check in checks:
        table.add_row(check.what, f"{check.worst:.1e}", f"{check.tolerance:.0e}", check.where)
    Console().print(table)


def as_json(bundle: Bundle) -> dict[str, Any]:
    """Return the manifest with folder, bundle id and deployment."""
    manifest = bundle.manifest
    return {
        "folder": str(bundle.folder),
        "bundle_id": manifest.bundle_id.hex(),
        "deployment": manifest.deployment,
        "manifest": manifest.model_dump(mode="json"),
    }


def _optimizer(info: OptimizerInfo) -> str:
    text = f"{info.name}, rate {info.learning_rate:g}, weight decay {info.weight_decay:g}"
    if isinstance(info, Sgd):
        text += f", momentum {info.momentum:g}{', nesterov' if info.nesterov else ''}"
    return text


def _rehearsal(bundle: Bundle) -> str:
    info = bundle.manifest.files.get(REHEARSAL)
    return "no images taken along" if info is None else f"{info.size:,} bytes of labelled images"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
