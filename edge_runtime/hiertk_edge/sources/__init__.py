"""Where a device's labelled images come from."""

from hiertk_edge.sources.folder import FolderSource, open_source
from hiertk_edge.sources.record import (
    DataSet,
    ImageBatch,
    Intake,
    Labelled,
    Stream,
    StreamCounts,
)

__all__ = [
    "DataSet",
    "FolderSource",
    "ImageBatch",
    "Intake",
    "Labelled",
    "Stream",
    "StreamCounts",
    "open_source",
]
