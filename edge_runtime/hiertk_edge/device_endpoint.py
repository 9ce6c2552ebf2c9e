"""The endpoint of a device: what it gives to the local program that asks."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import Manifest

from hiertk_edge.classes import DeviceClasses
from hiertk_edge.config import EdgeConfig
from hiertk_edge.endpoint.record import EndpointSettings
from hiertk_edge.inputs import Inputs
from hiertk_edge.prediction.record import Predicts

if TYPE_CHECKING:
    from hiertk_edge.endpoint.server import Endpoint


def open_endpoint(
    config: EdgeConfig,
    manifest: Manifest,
    inputs: Inputs,
    *,
    classes: DeviceClasses,
    predicts: Predicts,
    status: Callable[[], Mapping[str, object]],
    problems: Problems,
) -> "Endpoint | None":
    """Return the endpoint, not started yet; None if it is off. Raises ConfigError."""
    address = config.endpoint.address
    memory = inputs.memory
    if address is None or memory is None:
        return None
    # Only here: it imports asyncio, 2 MB that a device without an endpoint need not spend.
    from hiertk_edge.endpoint.server import Endpoint

    host, port = address

    return Endpoint(
        EndpointSettings(config.endpoint_token_file, host, port),
        intake=memory,
        predicts=predicts,
        classes=classes,
        info=manifest.input,
        status=status,
        problems=problems,
        camera=inputs.camera,
        class_counts=inputs.class_counts,
    )
