"""Asking the cloud for a class's slot: the request by name, and the slot or the refusal."""

from dataclasses import dataclass

from hiertk_protocol.class_names import clean_class_name
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import ClassReply, ClassRequest
from hiertk_protocol.manifest import MAX_CLASSES, Manifest
from hiertk_protocol.messages import parse_into
from hiertk_protocol.prediction_messages import CloudRefusedError
from hiertk_protocol.texts import one_line

MAX_REQUEST_BYTES = 4096
_MAX_REPLY_BYTES = 4096
_MAX_ERROR_LETTERS = 200


@dataclass(frozen=True)
class GivenSlot:
    """A class's slot, and the first version of the class map that has it."""

    slot: int
    version: int


class ClassContract:
    """What a deployment's requests and replies must be like; both sides check with it."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._bundle_id = manifest.bundle_id
        self._capacity = manifest.classes.capacity

    def request(self, name: str) -> bytes:
        """Return the request for a class's slot. Raises ProtocolError for an unusable name."""
        message = ClassRequest(bundle_id=self._bundle_id, name=clean_class_name(name))
        payload: bytes = message.SerializeToString()
        return payload

    def read_request(self, payload: bytes) -> str:
        """Return the name that a request asks for, as it is kept.

        Raises ProtocolError with the reason that the reply gives.
        """
        message = ClassRequest()
        parse_into(message, payload, "class request", MAX_REQUEST_BYTES)
        self._manifest.check_lineage(message.bundle_id)
        return clean_class_name(message.name)

    def reply(self, given: GivenSlot) -> bytes:
        """Return the reply that gives a slot."""
        payload: bytes = ClassReply(slot=given.slot, version=given.version).SerializeToString()
        return payload

    def refusal(self, reason: str) -> bytes:
        """Return the reply that says in a line why there is no slot."""
        payload: bytes = ClassReply(error=reason[:_MAX_ERROR_LETTERS]).SerializeToString()
        return payload

    def read_reply(self, payload: bytes) -> GivenSlot:
        """Return the slot that a reply gives.

        Raises CloudRefusedError with the cloud's reason if it gave none, ProtocolError if the reply
        breaks the contract.
        """
        message = ClassReply()
        parse_into(message, payload, "class reply", _MAX_REPLY_BYTES)
        if message.error:
            raise CloudRefusedError(one_line(message.error, _MAX_ERROR_LETTERS))
        if message.slot >= MAX_CLASSES or not message.version:
            raise ProtocolError(f"class reply: slot {message.slot} of {self._capacity}")
        if message.slot >= self._capacity:
            raise CloudRefusedError(
                f"its slot {message.slot} is beyond this bundle's {self._capacity}: restart the "
                "device with the bundle that the cloud was restarted with"
            )
        return GivenSlot(message.slot, message.version)
