"""What to do with a message: store it, refuse it, or leave it without an answer."""

import math
from collections.abc import Callable

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import BatchKey, FeatureContract

from hiertk_cloud.classes.classes import Classes, ExportedClasses
from hiertk_cloud.classes.labels import Labels
from hiertk_cloud.log import Accepted, Refused

# Few bytes may unpack to many values, and activations and gradients multiply them.
MAX_BATCH_VALUES = 1 << 24


class Judge:
    """Decides by the bundle and the deployment's classes; in one thread."""

    def __init__(
        self,
        manifest: Manifest,
        classes: Classes | None = None,
        on_name_refused: Callable[[str, str], None] = lambda _device, _reason: None,
    ) -> None:
        """Prepare.

        classes: default, the exported ones alone. on_name_refused: gets device and reason when a
        new class of a message that is stored gets no slot.
        """
        self._contract = FeatureContract(manifest)
        self._ancestors = manifest.ancestors
        self.of_ancestors_total = 0
        """Batches that came from devices with a bundle that this one was grown from."""
        self._labels = Labels(classes or ExportedClasses(manifest.classes), on_name_refused)

    def judge(self, sender: str, payload: bytes) -> Accepted | Refused:
        """Return what the log is to do with a message that came on the topic of `sender`.

        Raises ProtocolError if no ack could name the message, StorageError if a new class could not
        be registered because the disk fails.
        """
        message = self._contract.parse(payload)
        if message.device != sender:
            # An answer would go to the device that is named, which did not send this.
            raise ProtocolError(f"{sender or 'nobody'} sends in the name of {message.device}")
        key = BatchKey(message.device, message.epoch, message.seq)
        try:
            self._check(message)
            is_changed = self._labels.take(message)
        except ProtocolError as error:
            return Refused(key, message.floor, str(error))
        if is_changed:
            payload = message.SerializeToString()
        held_out = message.purpose == FeatureBatch.HELD_OUT
        return Accepted(key, message.floor, message.edge_step, held_out, payload)

    def _check(self, message: FeatureBatch) -> None:
        self._contract.validate(message)
        if message.bundle_id in self._ancestors:
            self.of_ancestors_total += 1
        size = math.prod(message.shape)
        if size > MAX_BATCH_VALUES:
            raise ProtocolError(f"{size} values, more than the {MAX_BATCH_VALUES} of one step")
