"""From a network's name to a checked bundle."""

from hiertk.export.job import export_bundle
from hiertk.export.settings import ExportSettings, parse_classes

__all__ = ["ExportSettings", "export_bundle", "parse_classes"]
