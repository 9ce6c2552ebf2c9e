"""Networks, their separation points, and the two sides of a cut."""

from hiertk.models.cut import Cuttable, Partitions
from hiertk.models.early_exit import EdgeModel
from hiertk.models.networks import NETWORKS, NetworkSpec, build, parameter_count
from hiertk.models.points import SeparationPoint
from hiertk.models.rebuild import CloudModule, cloud_module, describe_cloud, load_cloud_partition
from hiertk.models.sides import CutSpec, Sides, both_sides, open_network
from hiertk.models.weights import load_weights

__all__ = [
    "NETWORKS",
    "CloudModule",
    "CutSpec",
    "Cuttable",
    "EdgeModel",
    "NetworkSpec",
    "Partitions",
    "SeparationPoint",
    "Sides",
    "both_sides",
    "build",
    "cloud_module",
    "describe_cloud",
    "load_cloud_partition",
    "load_weights",
    "open_network",
    "parameter_count",
]
