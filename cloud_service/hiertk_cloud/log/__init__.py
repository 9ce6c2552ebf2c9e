"""The durable log: every feature batch the cloud took, on disk before it is acknowledged."""

from hiertk_cloud.log.durable import DurableLog
from hiertk_cloud.log.file import DiskFullError, LogDamagedError
from hiertk_cloud.log.opening import damage_marker, marking_damage
from hiertk_cloud.log.reader import DamagedEntryError, LogEntry, LogReader
from hiertk_cloud.log.records import Accepted, DeviceTotals, LogTotals, Refused, Settled
from hiertk_cloud.log.retention import Retention

__all__ = [
    "Accepted",
    "DamagedEntryError",
    "DeviceTotals",
    "DiskFullError",
    "DurableLog",
    "LogDamagedError",
    "LogEntry",
    "LogReader",
    "LogTotals",
    "Refused",
    "Retention",
    "Settled",
    "damage_marker",
    "marking_damage",
]
