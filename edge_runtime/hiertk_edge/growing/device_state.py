"""A device's state folder under a grown bundle."""

import logging

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.lineage import hand_over

from hiertk_edge.growing.generation import carry_over
from hiertk_edge.state import StateFolder

_log = logging.getLogger(__name__)


def grow_state(state: StateFolder, bundle: Bundle) -> None:
    """Bring what a bundle left that this one was grown from to this one.

    The spool's messages stay as they are: the cloud knows the bundle that made them. Classes and
    rehearsal memory see to themselves when they are opened. Each part is looked at on its own, so
    that doing it again goes on where a power cut ended it; a part of this bundle, or of one that it
    was not grown from, stays as it is. Raises BundleError if a checkpoint does not fit the bundle,
    StorageError.
    """
    manifest = bundle.manifest
    if hand_over(state.spool, manifest):
        _log.info("the spool goes on with bundle %s", manifest.bundle_id.hex()[:16])
    step = carry_over(state.checkpoints, bundle)
    if step is not None:
        _log.info(
            "training goes on from edge step %d with %d class slots",
            step,
            manifest.classes.capacity,
        )
