"""Measuring a network on this machine, as a device or as the cloud, at every separation point."""
