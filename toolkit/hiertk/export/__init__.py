"""From a network's name to a checked bundle."""

from hiertk.export.cuts import ExportedCuts, export_cuts, parse_splits
from hiertk.export.job import export_bundle
from hiertk.export.settings import ExportSettings, parse_classes

__all__ = [
    "ExportSettings",
    "ExportedCuts",
    "export_bundle",
    "export_cuts",
    "parse_classes",
    "parse_splits",
]
