"""Where a device's labelled images come from."""

from hiertk_edge.sources.kinds import (
    DATA_SETS,
    STREAMS,
    is_stream,
    open_data_set,
    open_stream,
    source_help,
)
from hiertk_edge.sources.listed_images import ListedImages
from hiertk_edge.sources.record import (
    DataSet,
    FixedLabels,
    ImageBatch,
    Intake,
    Labelled,
    Labels,
    Stream,
    StreamCounts,
)

__all__ = [
    "DATA_SETS",
    "STREAMS",
    "DataSet",
    "FixedLabels",
    "ImageBatch",
    "Intake",
    "Labelled",
    "Labels",
    "ListedImages",
    "Stream",
    "StreamCounts",
    "is_stream",
    "open_data_set",
    "open_stream",
    "source_help",
]
