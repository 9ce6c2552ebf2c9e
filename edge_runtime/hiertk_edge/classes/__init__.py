"""The device's classes: names, provisional classes, and what follows the class map."""

from hiertk_edge.classes.device_classes import DeviceClasses
from hiertk_edge.classes.record import ExportedClasses, KnowsClasses
from hiertk_edge.classes.table import ClassInSlot, ClassTable

__all__ = ["ClassInSlot", "ClassTable", "DeviceClasses", "ExportedClasses", "KnowsClasses"]
