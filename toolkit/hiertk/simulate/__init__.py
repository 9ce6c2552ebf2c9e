"""Devices that don't train but send real messages: how the cloud's cost grows with their number."""

from hiertk.simulate.fleet import SimulationSettings, simulate

__all__ = ["SimulationSettings", "simulate"]
