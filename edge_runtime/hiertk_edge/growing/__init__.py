"""A device that goes on with a grown bundle: what it learned and holds, brought to more slots.

It runs when the device starts, on the device, with what the agent has anyway.
"""

from hiertk_edge.growing.device_state import grow_state

__all__ = ["grow_state"]
