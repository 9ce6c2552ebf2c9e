"""Measuring this device: what a training step takes at every cut of a network, and its memory."""

from hiertk_edge.profiling.profile import MAX_IMAGES_NAME, ProfileSettings, profile_edge
from hiertk_edge.profiling.table import print_edge_profile

__all__ = ["MAX_IMAGES_NAME", "ProfileSettings", "print_edge_profile", "profile_edge"]
