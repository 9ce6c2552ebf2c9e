"""The uplink: sends what the spool holds, again and again until the cloud has it."""

from hiertk_edge.uplink.classes import ClassLink
from hiertk_edge.uplink.limits import BitsSetting, UplinkLimits
from hiertk_edge.uplink.uplink import Uplink

__all__ = ["BitsSetting", "ClassLink", "Uplink", "UplinkLimits"]
