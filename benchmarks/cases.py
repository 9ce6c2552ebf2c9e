"""What is trained where networks and backends are compared."""

from dataclasses import dataclass
from pathlib import Path

from hiertk.data import load
from hiertk.export import ExportSettings, export_bundle
from hiertk.export.optimizer import OptimizerFlags
from hiertk_protocol.bundle import Bundle


@dataclass(frozen=True)
class Case:
    """A network cut at a separation point, for 32x32 images in batches."""

    model: str
    split: int
    stem: str
    batch_size: int

    def __str__(self) -> str:
        return f"{self.model} at {self.split}, batch {self.batch_size}"


SMALL = Case("vgg16", 1, "torchvision", 8)


def export_case(
    case: Case, folder: Path, *, backend: str, target: str, optimizer: str | None = None
) -> Bundle:
    """Export a case for Fashion-MNIST's ten classes."""
    settings = ExportSettings(
        model=case.model,
        split=case.split,
        target=target,
        classes=load("fashion-mnist-mini", "test").classes,
        backend=backend,
        optimizer=OptimizerFlags(name=optimizer),
        batch_size=case.batch_size,
        stem=case.stem,
        out=folder,
    )
    return export_bundle(settings).bundle
