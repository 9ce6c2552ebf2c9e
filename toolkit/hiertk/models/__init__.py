"""Networks, their separation points, and the two partitions of a cut."""

from hiertk.models.cut import Partitions, cut
from hiertk.models.early_exit import EdgeModel
from hiertk.models.networks import (
    NETWORKS,
    NetworkSpec,
    Stem,
    build,
    load_weights,
    separation_point,
    separation_points,
)
from hiertk.models.rebuild import (
    CloudModule,
    cloud_module,
    load_cloud_partition,
)

__all__ = [
    "NETWORKS",
    "CloudModule",
    "EdgeModel",
    "NetworkSpec",
    "Partitions",
    "Stem",
    "build",
    "cloud_module",
    "cut",
    "load_cloud_partition",
    "load_weights",
    "separation_point",
    "separation_points",
]
