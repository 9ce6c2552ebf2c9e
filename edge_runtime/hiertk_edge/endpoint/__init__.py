"""The local HTTP endpoint: a robot's own program posts images, asks for predictions, corrects them.

Importing it is cheap: Starlette and uvicorn are imported by its thread, once it serves.
"""

from hiertk_edge.endpoint.record import Camera, EndpointCounts, EndpointSettings, Frame
from hiertk_edge.endpoint.server import Endpoint

__all__ = ["Camera", "Endpoint", "EndpointCounts", "EndpointSettings", "Frame"]
