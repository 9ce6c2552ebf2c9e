"""What to do with a message: store it, refuse it, or leave it without an answer."""

import math

from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import BatchKey, FeatureContract

from hiertk_cloud.log import Accepted, Refused

# Few bytes may unpack to many values, and activations and gradients multiply them.
MAX_BATCH_VALUES = 1 << 24


class Judge:
    """Decides by the bundle alone."""

    def __init__(self, manifest: Manifest) -> None:
        self._contract = FeatureContract(manifest)
        self._open_slots = len(manifest.classes.names)

    def judge(self, sender: str, payload: bytes) -> Accepted | Refused:
        """Return what the log is to do with a message that came on the topic of `sender`.

        Raises ProtocolError if no ack could name the message.
        """
        message = self._contract.parse(payload)
        if message.device != sender:
            # An answer would go to the device that is named, which did not send this.
            raise ProtocolError(f"{sender or 'nobody'} sends in the name of {message.device}")
        key = BatchKey(message.device, message.epoch, message.seq)
        try:
            self._check(message)
        except ProtocolError as error:
            return Refused(key, message.floor, str(error))
        held_out = message.purpose == FeatureBatch.HELD_OUT
        return Accepted(key, message.floor, message.edge_step, held_out, payload)

    def _check(self, message: FeatureBatch) -> None:
        self._contract.validate(message)
        highest = max(message.labels)
        if highest >= self._open_slots:
            # Its loss would be the class bias, 1e9.
            raise ProtocolError(f"label {highest} has no class: {self._open_slots} slots are open")
        size = math.prod(message.shape)
        if size > MAX_BATCH_VALUES:
            raise ProtocolError(f"{size} values, more than the {MAX_BATCH_VALUES} of one step")
